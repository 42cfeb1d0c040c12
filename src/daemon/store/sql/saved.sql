-- name: put
INSERT INTO saved (job, step, item, state_json)
SELECT job, step, id, :state_json FROM item
WHERE job = :job AND id = :item AND step = :step AND epoch = :epoch AND state = 'PENDING'
ON CONFLICT (job, step, item) DO UPDATE SET state_json = excluded.state_json;
