-- name: record
-- Compare and set: only while the item stands at this step with this epoch. The unary + keeps to the primary key.
INSERT INTO task (job, step, item, outcome, label, result_json, attempt, run, start_time, end_time, folder,
    failure_json, revision)
SELECT job, step, id, ?, ?, ?, attempts_used + 1, ?, ?, ?, ?, ?, ?
FROM item WHERE job = ? AND id = ? AND +step = ? AND epoch = ? AND +state = 'PENDING';

-- name: standing
SELECT key, attempts_used, lost FROM item
WHERE job = ? AND id = ? AND +step = ? AND epoch = ? AND +state = 'PENDING';

-- name: insert_attempt
INSERT INTO attempt (job, step, item, key, number, run, start_time, end_time, failure_json)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: retry
UPDATE item SET state = 'RETRY', due = ?, attempts_used = ?, epoch = epoch + 1 WHERE job = ? AND id = ?;

-- name: give_up
UPDATE item SET state = 'FAILED', label = ?, attempts_used = ? WHERE job = ? AND id = ?;

-- name: lose
UPDATE item SET lost = ?, epoch = epoch + 1 WHERE job = ? AND id = ?;

-- name: labels
SELECT DISTINCT label FROM step_label WHERE job = ? AND step = ?;
