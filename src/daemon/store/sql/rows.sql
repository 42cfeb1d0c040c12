-- name: sequence
SELECT sequence FROM job WHERE id = ?;
