-- name: parent
SELECT job.next_item, job.run_count FROM item JOIN job ON job.sequence = item.job
WHERE item.job = :job AND item.id = :item AND item.step = :step AND item.epoch = :epoch AND +item.state = 'PENDING';

-- name: job
SELECT id, next_item, run_count FROM job WHERE sequence = ?;

-- name: by_keys
SELECT item.key, item.id, item.enumeration, item.position, item.payload_json
FROM json_each(:keys) AS wanted
    CROSS JOIN item ON item.job = :job AND item.key = wanted.value AND item.line = :line AND item.parent = :parent;

-- name: by_key
SELECT key, id, enumeration, position, payload_json FROM item
WHERE job = :job AND key = :key AND line = :line AND parent = :parent;

-- name: insert
-- The last row stands for as many as are inserted: id, position, key, payload.
INSERT INTO item (job, line, parent, step, state, label, enumeration, id, position, key, payload_json)
SELECT ?, ?, ?, ?, ?, ?, ?, new.column1, new.column2, new.column3, new.column4 FROM (VALUES (?, ?, ?, ?)) AS new;

-- name: meet_again
UPDATE item SET enumeration = ?, position = ? WHERE job = ? AND id = ?;

-- name: record_duplicate
INSERT INTO task (job, step, item, outcome, label, result_json, attempt, run, start_time, end_time, folder, revision)
VALUES (?, ?, ?, 'SKIPPED', ?, '', 0, ?, ?, ?, '', ?);

-- name: set_next_item
UPDATE job SET next_item = ? WHERE sequence = ?;

-- name: total
SELECT total FROM step WHERE job = ? AND position = ?;

-- name: missing_of_root
SELECT id, line, step, state FROM item
WHERE job = :job AND line = :line AND parent = 0 AND enumeration <> :enumeration AND :parent = 0;

-- name: missing
SELECT id, line, step, state FROM item INDEXED BY item_parent
WHERE job = :job AND parent = :parent AND parent > 0 AND line = :line AND enumeration <> :enumeration;

-- name: by_ids
SELECT id, line, step, state FROM item WHERE job = :job AND id IN (SELECT value FROM json_each(:items));

-- name: below
SELECT item.id, item.line, item.step, item.state
FROM json_each(:items) AS above
    CROSS JOIN item INDEXED BY item_parent ON item.job = :job AND item.parent = above.value AND item.parent > 0;
