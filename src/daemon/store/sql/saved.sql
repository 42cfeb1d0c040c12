-- name: put
INSERT INTO saved (job, step, item, state_json)
SELECT job, step, id, :state_json FROM item
WHERE job = :job AND id = :item AND step = :step AND epoch = :epoch AND state = 'PENDING'
ON CONFLICT (job, step, item) DO UPDATE SET state_json = excluded.state_json;

-- name: any_of
SELECT value FROM json_each(?) WHERE EXISTS (SELECT 1 FROM saved WHERE job = value);

-- name: states
SELECT item, state_json FROM saved
WHERE job = :job AND step = :step AND item IN (SELECT value FROM json_each(:items));

-- name: forget
DELETE FROM saved WHERE job = ? AND step = ? AND item = ?;
