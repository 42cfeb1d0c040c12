-- name: set_revision
UPDATE meta SET revision = ?;

-- name: touch
UPDATE job SET revision = ? WHERE id = ?;

-- name: touch_active
UPDATE job SET revision = ?, activity_time = max(activity_time, ?) WHERE id IN (SELECT value FROM json_each(?));
