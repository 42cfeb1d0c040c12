-- name: select
-- Followed by one of the sources, `restrict` and what restricts further, then `in_order`.
SELECT item.*,
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

-- name: count
-- Followed as `select`, without an order.
SELECT count(*)

-- name: ids
-- Followed as `select`.
SELECT item.id

-- name: from_all
FROM item JOIN job ON job.sequence = item.job
WHERE item.job = :job

-- name: from_failed
FROM item INDEXED BY item_failed JOIN job ON job.sequence = item.job
WHERE item.job = :job AND item.state = 'FAILED'

-- name: from_keys
-- Followed by the keys in brackets.
FROM item INDEXED BY item_key JOIN job ON job.sequence = item.job
WHERE item.job = :job AND item.key IN

-- name: from_troubled
-- Those that can have a last failure.
FROM item JOIN job ON job.sequence = item.job
WHERE item.job = :job AND item.id IN (
    SELECT id FROM item INDEXED BY item_failed WHERE job = :job AND state = 'FAILED'
    UNION ALL
    SELECT id FROM item INDEXED BY item_retry WHERE job = :job AND state = 'RETRY'
)

-- name: from_standing
-- For a count: in no useful order, but without a look at the items.
FROM item INDEXED BY item_standing JOIN job ON job.sequence = item.job
WHERE item.job = :job

-- name: restrict
-- Where a job has items, its root is none of them; it is shown only when it has failed.
    AND item.id > :after
    AND (:states = '[]' OR item.state IN (SELECT value FROM json_each(:states)))
    AND (:step IS NULL OR item.step = :step)
    AND (item.id > 0 OR job.next_item = 1 OR (:with_failed_root AND item.state = 'FAILED'))

-- name: of_label
    AND item.label = :label

-- name: of_class
    AND :error_class = CASE item.state
        WHEN 'FAILED' THEN (
            SELECT json_extract(task.failure_json, '$.error_class') FROM task
            WHERE task.job = item.job AND task.step = item.step AND task.item = item.id
        )
        WHEN 'RETRY' THEN (
            SELECT json_extract(attempt.failure_json, '$.error_class') FROM attempt
            WHERE attempt.job = item.job AND attempt.key = item.key AND attempt.item = item.id
            ORDER BY attempt.id DESC LIMIT 1
        )
    END

-- name: in_order
ORDER BY item.id LIMIT :limit OFFSET :offset;

-- name: extent
-- `given`: ids that items have had; `counted`: items that steps count now. They are the same while none has gone.
SELECT job.next_item - 1 AS given,
    job.next_item = 1 OR root.state = 'FAILED' AS root_is_listed,
    (
        SELECT coalesce(sum(total), 0) FROM (
            SELECT max(step.total) AS total
            FROM json_each(job.definition_json, '$.steps') AS shape
                JOIN step ON step.job = job.sequence AND step.position = shape.key
            WHERE json_extract(shape.value, '$.line') > 0
            GROUP BY json_extract(shape.value, '$.line')
        )
    ) AS counted
FROM job JOIN item AS root ON root.job = job.sequence AND root.id = 0
WHERE job.sequence = :job;

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
