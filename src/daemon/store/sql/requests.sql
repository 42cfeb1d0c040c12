-- name: get
SELECT payload_hash, response FROM request WHERE id = ?;

-- name: insert
INSERT INTO request (id, rpc, payload_hash, response, time) VALUES (?, ?, ?, ?, ?);

-- name: forget
DELETE FROM request WHERE id IN (SELECT id FROM request WHERE time < ? ORDER BY time LIMIT ?);
