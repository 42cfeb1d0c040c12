-- name: longest
-- Of the tasks of a step that were recorded at its last items: what once took long is forgotten in time.
SELECT max(end_time - start_time) FROM (
    SELECT start_time, end_time FROM task
    WHERE job = ? AND step = ? AND outcome = 'SUCCEEDED'
    ORDER BY item DESC LIMIT ?
);
