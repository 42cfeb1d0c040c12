-- name: select
-- Followed by one of the sources, then `restrict`.
SELECT item.*, job.next_item,
    CASE item.state
        WHEN 'FAILED' THEN (
            SELECT task.failure_json FROM task
            WHERE task.job = item.job AND task.step = item.step AND task.item = item.id
        )
        WHEN 'RETRY' THEN (
            SELECT attempt.failure_json FROM attempt
            WHERE attempt.job = item.job AND attempt.key = item.key AND attempt.item = item.id
            ORDER BY attempt.id DESC LIMIT 1
        )
    END AS failure_json

-- name: from_all
FROM item JOIN job ON job.sequence = item.job
WHERE item.job = :job

-- name: from_failed
FROM item INDEXED BY item_failed JOIN job ON job.sequence = item.job
WHERE item.job = :job AND item.state = 'FAILED'

-- name: from_keys
FROM item INDEXED BY item_key JOIN job ON job.sequence = item.job
WHERE item.job = :job AND item.key IN (SELECT value FROM json_each(:keys))

-- name: restrict
-- Where a job has items, its root is none of them; it is shown only when it has failed.
    AND item.id > :after
    AND (:states = '[]' OR item.state IN (SELECT value FROM json_each(:states)))
    AND (:step IS NULL OR item.step = :step)
    AND (:label = '' OR item.label = :label)
    AND (item.id > 0 OR job.next_item = 1 OR (:with_failed_root AND item.state = 'FAILED'))
ORDER BY item.id LIMIT :limit;

-- name: records
SELECT task.*
FROM json_each(:items) AS wanted
    CROSS JOIN step
    CROSS JOIN task
WHERE step.job = :job
    AND task.job = :job AND task.step = step.position AND task.item = wanted.value
ORDER BY task.item, task.step;

-- name: attempts
SELECT * FROM attempt WHERE job = :job AND id < :before ORDER BY id DESC LIMIT :limit;

-- name: attempts_of_key
SELECT * FROM attempt WHERE job = :job AND key = :key AND id < :before ORDER BY id DESC LIMIT :limit;

-- name: gather
SELECT * FROM item
WHERE job = ? AND id > ? AND line = ? AND (id = 0 OR state IN ('SUCCEEDED', 'SKIPPED', 'FAILED'))
ORDER BY id LIMIT ?;
