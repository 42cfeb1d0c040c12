-- name: add
UPDATE step SET
    total = total + :total,
    succeeded = succeeded + :succeeded,
    failed = failed + :failed,
    skipped = skipped + :skipped,
    retrying = retrying + :retrying,
    start_time = coalesce(start_time, :start_time)
WHERE job = :job AND position = :step;

-- name: insert_label
INSERT INTO step_label (count, job, step, outcome, label) VALUES (?, ?, ?, ?, ?);

-- name: add_label
UPDATE step_label SET count = count + ? WHERE job = ? AND step = ? AND outcome = ? AND label = ?;

-- name: steps
SELECT * FROM step WHERE job = ? ORDER BY position;

-- name: settle
UPDATE step SET total_known = ?, end_time = ? WHERE job = ? AND position = ?;
