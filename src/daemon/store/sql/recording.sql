-- name: record_first
-- The last row stands for as many as are inserted: item, result, start, end, folder.
INSERT INTO task (job, step, outcome, label, attempt, run, revision, item, result_json, start_time, end_time, folder)
SELECT ?, ?, ?, ?, 1, ?, ?, ended.column1, ended.column2, ended.column3, ended.column4, ended.column5
FROM (VALUES (?, ?, ?, ?, ?)) AS ended;

-- name: record
-- Compare and set: only while the item stands at this step with this epoch. The unary + keeps to the primary key.
-- `tasks`: an array of [item, result, start, end, folder].
INSERT INTO task (job, step, item, outcome, label, result_json, attempt, run, start_time, end_time, folder, revision)
SELECT item.job, item.step, item.id, :outcome, :label, ended.value ->> 1, item.attempts_used + 1, :run,
    ended.value ->> 2, ended.value ->> 3, ended.value ->> 4, :revision
FROM json_each(:tasks) AS ended CROSS JOIN item
WHERE item.job = :job AND item.id = ended.value ->> 0
    AND +item.step = :step AND item.epoch = :epoch AND +item.state = 'PENDING';

-- name: move
UPDATE item SET step = :next_step, state = :state, label = :label, attempts_used = 0, lost = 0
WHERE job = :job AND id IN (SELECT value FROM json_each(:items))
    AND +step = :step AND epoch = :epoch AND +state = 'PENDING';

-- name: move_range
UPDATE item SET step = :next_step, state = :state, label = :label, attempts_used = 0, lost = 0
WHERE job = :job AND id BETWEEN :first AND :last
    AND +step = :step AND epoch = :epoch AND +state = 'PENDING';

-- name: standing
SELECT id FROM item
WHERE job = :job AND id IN (SELECT value FROM json_each(:items))
    AND +step = :step AND epoch = :epoch AND +state = 'PENDING';

-- name: record_of_jobs
-- As `record`; `tasks`, here and below: an array of [job, item, result, start, end, folder, run].
INSERT INTO task (job, step, item, outcome, label, result_json, attempt, run, start_time, end_time, folder, revision)
SELECT item.job, item.step, item.id, :outcome, :label, ended.value ->> 2, item.attempts_used + 1, ended.value ->> 6,
    ended.value ->> 3, ended.value ->> 4, ended.value ->> 5, :revision
FROM json_each(:tasks) AS ended CROSS JOIN item
WHERE item.job = ended.value ->> 0 AND item.id = ended.value ->> 1
    AND +item.step = :step AND item.epoch = :epoch AND +item.state = 'PENDING';

-- name: move_of_jobs
UPDATE item SET step = :next_step, state = :state, label = :label, attempts_used = 0, lost = 0
WHERE (job, id) IN (SELECT value ->> 0, value ->> 1 FROM json_each(:tasks))
    AND +step = :step AND epoch = :epoch AND +state = 'PENDING';
