-- name: record
-- Compare and set: only while the item stands at this step with this epoch. The unary + keeps to the primary key.
INSERT INTO task (job, step, item, outcome, label, result_json, attempt, run, start_time, end_time, folder,
    failure_json, revision)
SELECT job, step, id, ?, ?, ?, attempts_used + 1, ?, ?, ?, ?, ?, ?
FROM item WHERE job = ? AND id = ? AND +step = ? AND epoch = ? AND +state = 'PENDING';

-- name: record_alike
-- As `record`, for many tasks that ended alike: `tasks` is an array of [item, result, start, end, folder].
INSERT INTO task (job, step, item, outcome, label, result_json, attempt, run, start_time, end_time, folder, revision)
SELECT item.job, item.step, item.id, :outcome, :label, ended.value ->> 1, item.attempts_used + 1, :run,
    ended.value ->> 2, ended.value ->> 3, ended.value ->> 4, :revision
FROM json_each(:tasks) AS ended CROSS JOIN item
WHERE item.job = :job AND item.id = ended.value ->> 0
    AND +item.step = :step AND item.epoch = :epoch AND +item.state = 'PENDING';

-- name: standing_alike
SELECT id FROM item
WHERE job = :job AND id IN (SELECT value FROM json_each(:items))
    AND +step = :step AND epoch = :epoch AND +state = 'PENDING';

-- name: move
UPDATE item SET step = :next_step, state = :state, label = :label, attempts_used = 0, lost = 0
WHERE job = :job AND id IN (SELECT value FROM json_each(:items))
    AND +step = :step AND epoch = :epoch AND +state = 'PENDING';

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
