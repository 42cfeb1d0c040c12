-- name: add
-- `deltas`: an array of objects, one a step.
UPDATE step SET
    total = total + (delta.value ->> 'total'),
    succeeded = succeeded + (delta.value ->> 'succeeded'),
    failed = failed + (delta.value ->> 'failed'),
    skipped = skipped + (delta.value ->> 'skipped'),
    retrying = retrying + (delta.value ->> 'retrying'),
    start_time = coalesce(start_time, delta.value ->> 'start_time')
FROM json_each(?) AS delta
WHERE step.job = delta.value ->> 'job' AND step.position = delta.value ->> 'step';

-- name: add_labels
-- `deltas`, here and below: an array of [job, step, outcome, label, number].
UPDATE step_label SET count = count + (delta.value ->> 4)
FROM json_each(?) AS delta
WHERE step_label.job = delta.value ->> 0 AND step_label.step = delta.value ->> 1
    AND step_label.outcome = delta.value ->> 2 AND step_label.label = delta.value ->> 3;

-- name: insert_labels
-- Those that were not there to be added to.
INSERT INTO step_label (count, job, step, outcome, label)
SELECT value ->> 4, value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM json_each(?) AS delta
WHERE NOT EXISTS (
    SELECT 1 FROM step_label
    WHERE job = delta.value ->> 0 AND step = delta.value ->> 1
        AND outcome = delta.value ->> 2 AND label = delta.value ->> 3
);

-- name: steps
SELECT step.job, revision, position, step.name, total, total_known, succeeded, failed, skipped,
    step.start_time, step.end_time
FROM step JOIN job ON job.sequence = step.job
WHERE step.job IN (SELECT value FROM json_each(?)) ORDER BY step.job, position;

-- name: settle
UPDATE step SET total_known = ?, end_time = ? WHERE job = ? AND position = ?;
