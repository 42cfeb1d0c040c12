-- name: identity
SELECT store_id, revision FROM meta;

-- name: set_revision
UPDATE meta SET revision = ?;

-- name: touch
UPDATE job SET revision = ?, activity_time = max(activity_time, ?) WHERE id = ?;
