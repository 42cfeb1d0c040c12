-- name: insert
INSERT INTO event (job_id, kind, time, by, client, message, from_state, to_state, revision)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: page_of_job
SELECT * FROM event WHERE job_id = ? AND id > ? ORDER BY id LIMIT ?;

-- name: page
SELECT * FROM event WHERE id > ? ORDER BY id LIMIT ?;

-- name: newest_of_job
SELECT * FROM event WHERE job_id = ? AND id < ? ORDER BY id DESC LIMIT ?;

-- name: newest
SELECT * FROM event WHERE id < ? ORDER BY id DESC LIMIT ?;
