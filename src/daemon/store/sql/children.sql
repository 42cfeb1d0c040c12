-- name: parent
SELECT job.next_item, job.run_count FROM item JOIN job ON job.sequence = item.job
WHERE item.job = :job AND item.id = :item AND item.step = :step AND item.epoch = :epoch AND +item.state = 'PENDING';

-- name: job
SELECT next_item, run_count FROM job WHERE sequence = ?;

-- name: by_keys
SELECT item.key, item.id, item.enumeration, item.position
FROM json_each(:keys) AS wanted
    CROSS JOIN item ON item.job = :job AND item.key = wanted.value AND item.line = :line AND item.parent = :parent;

-- name: insert
INSERT INTO item (job, id, line, parent, position, key, payload_json, step, state, label, enumeration)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: meet_again
UPDATE item SET enumeration = ?, position = ? WHERE job = ? AND id = ?;

-- name: record_duplicate
INSERT INTO task (job, step, item, outcome, label, result_json, attempt, run, start_time, end_time, folder, revision)
VALUES (?, ?, ?, 'SKIPPED', ?, '', 0, ?, ?, ?, '', ?);

-- name: set_next_item
UPDATE job SET next_item = ? WHERE sequence = ?;
