-- name: get
SELECT payload_hash, response FROM request WHERE id = ?;

-- name: insert
INSERT INTO request (id, rpc, payload_hash, response, time) VALUES (?, ?, ?, ?, ?);
