-- name: begin
INSERT INTO operation (job, kind, arguments_json, event) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING;

-- name: get
SELECT kind, arguments_json, cursor, event FROM operation WHERE job = ?;

-- name: set_cursor
UPDATE operation SET cursor = ? WHERE job = ?;

-- name: finish
DELETE FROM operation WHERE job = ?;

-- name: items
SELECT id, line, step, state FROM item WHERE job = ? AND id > ? ORDER BY id LIMIT ?;

-- name: failed_items
-- Followed by `of_keys`, where some are given, and `in_order`.
SELECT id, line, step, state FROM item INDEXED BY item_failed
WHERE job = :job AND id > :cursor AND state = 'FAILED'
    AND (:error_class = '' OR :error_class = (
        SELECT json_extract(failure_json, '$.error_class') FROM task
        WHERE task.job = item.job AND task.step = item.step AND task.item = item.id
    ))

-- name: of_keys
-- Followed by the keys in brackets.
    AND key IN

-- name: in_order
ORDER BY id LIMIT :limit;

-- name: count_failed
-- Followed as `failed_items`, without an order.
SELECT count(*) FROM item INDEXED BY item_failed
WHERE job = :job AND state = 'FAILED'
    AND (:error_class = '' OR :error_class = (
        SELECT json_extract(failure_json, '$.error_class') FROM task
        WHERE task.job = item.job AND task.step = item.step AND task.item = item.id
    ))

-- name: root
SELECT id, line, step, state FROM item WHERE job = ? AND id = 0;

-- name: count_records
SELECT outcome, label, count(*) AS count FROM task
WHERE job = :job AND step = :step AND item IN (SELECT value FROM json_each(:items))
GROUP BY outcome, label;

-- name: archive
INSERT INTO archive (job, event, step, item, key, outcome, label, result_json, attempt, run, start_time, end_time,
    folder, failure_json, revision)
SELECT task.job, :event, task.step, task.item, item.key, task.outcome, task.label, task.result_json, task.attempt,
    task.run, task.start_time, task.end_time, task.folder, task.failure_json, task.revision
FROM task JOIN item ON item.job = task.job AND item.id = task.item
WHERE task.job = :job AND task.step = :step AND task.item IN (SELECT value FROM json_each(:items));

-- name: delete_records
DELETE FROM task WHERE job = :job AND step = :step AND item IN (SELECT value FROM json_each(:items));

-- name: delete_saved
DELETE FROM saved WHERE job = :job AND step = :step AND item IN (SELECT value FROM json_each(:items));

-- name: reset
UPDATE item SET step = :step, state = 'PENDING', label = '', epoch = epoch + 1, attempts_used = 0, lost = 0, due = NULL
WHERE job = :job AND id IN (SELECT value FROM json_each(:items));

-- name: delete_items
DELETE FROM item WHERE job = :job AND id IN (SELECT value FROM json_each(:items));

-- name: forget_start
UPDATE step SET start_time = NULL WHERE job = ? AND position >= ?;
