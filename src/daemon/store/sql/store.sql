-- name: identity
SELECT store_id, revision FROM meta;

-- name: set_revision
UPDATE meta SET revision = ?;

-- name: touch
UPDATE job SET revision = ? WHERE id = ?;
