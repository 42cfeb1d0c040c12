-- name: pending
-- One row with an array of arrays: a row by itself costs a turn of Python's lock.
SELECT json_group_array(json_array(:step, id, epoch, key, position, payload_json, attempts_used, lost))
FROM (
    SELECT id, epoch, key, position, payload_json, attempts_used, lost
    FROM item INDEXED BY item_standing
    WHERE job = :job AND step = :step AND state = 'PENDING' AND id > :after
        -- All of them are of one line; named, the index gives them in their order.
        AND line = (SELECT line FROM item WHERE job = :job AND step = :step AND state = 'PENDING' LIMIT 1)
    ORDER BY id LIMIT :limit
);

-- name: results_before
SELECT task.item, task.step, task.result_json
FROM json_each(:items) AS wanted
    CROSS JOIN json_each(:steps) AS earlier
    CROSS JOIN task
WHERE task.job = :job AND task.step = earlier.value AND task.item = wanted.value AND task.result_json <> ''
ORDER BY task.item, task.step;

-- name: pending_steps
SELECT position FROM step
WHERE job = ?1 AND EXISTS (
    SELECT 1 FROM item WHERE item.job = ?1 AND item.step = step.position AND item.state = 'PENDING'
)
ORDER BY position;

-- name: jobs_retrying
SELECT DISTINCT job FROM step WHERE retrying > 0;

-- name: due
SELECT step, count(*) AS count FROM item WHERE job = ? AND state = 'RETRY' AND due <= ? GROUP BY step;

-- name: release_due
UPDATE item SET state = 'PENDING', due = NULL WHERE job = ? AND state = 'RETRY' AND due <= ?;

-- name: count_released
UPDATE step SET retrying = retrying - ? WHERE job = ? AND position = ?;

-- name: job_id
SELECT id FROM job WHERE sequence = ?;

-- name: next_due
SELECT min((SELECT min(due) FROM item WHERE item.job = retrying.job AND item.state = 'RETRY'))
FROM (SELECT DISTINCT job FROM step WHERE retrying > 0) AS retrying;

-- name: standing
SELECT step, epoch FROM item WHERE job = ? AND id = ? AND state = 'PENDING';
