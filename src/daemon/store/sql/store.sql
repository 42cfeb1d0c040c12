-- name: identity
SELECT store_id, revision FROM meta;
