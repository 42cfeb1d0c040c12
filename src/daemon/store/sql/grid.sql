-- name: groups
-- Where items stand, by step and state: their lowest and highest ids. `steps`: [position, line] of each step.
SELECT step, line, state, first_item, last_item
FROM (
    SELECT json_extract(shape.value, '$[0]') AS step, json_extract(shape.value, '$[1]') AS line, state.value AS state,
        (
            SELECT min(id) FROM item INDEXED BY item_standing
            WHERE item.job = :job AND item.step = json_extract(shape.value, '$[0]') AND item.state = state.value
                AND item.line = json_extract(shape.value, '$[1]')
        ) AS first_item,
        (
            SELECT max(id) FROM item INDEXED BY item_standing
            WHERE item.job = :job AND item.step = json_extract(shape.value, '$[0]') AND item.state = state.value
                AND item.line = json_extract(shape.value, '$[1]')
        ) AS last_item
    FROM json_each(:steps) AS shape CROSS JOIN json_each(:states) AS state
)
WHERE first_item IS NOT NULL
ORDER BY step;

-- name: ids
-- Of the items of one line, up to a number; `steps`: its positions.
SELECT id FROM item INDEXED BY item_standing
WHERE job = :job AND step IN (SELECT value FROM json_each(:steps)) AND state IN (SELECT value FROM json_each(:states))
    AND line = :line
LIMIT :limit;

-- name: counts
-- Of one line: `groups` are [step, state], `buckets` [first id, last id]. Each count is taken from the index alone, which
-- is ten times as fast as one GROUP BY over the items.
SELECT bucket.key AS bucket, json_extract(place.value, '$[0]') AS step, json_extract(place.value, '$[1]') AS state,
    (
        SELECT count(*) FROM item INDEXED BY item_standing
        WHERE item.job = :job AND item.step = json_extract(place.value, '$[0]')
            AND item.state = json_extract(place.value, '$[1]') AND item.line = :line
            AND item.id BETWEEN json_extract(bucket.value, '$[0]') AND json_extract(bucket.value, '$[1]')
    ) AS count,
    (
        SELECT min(id) FROM item INDEXED BY item_standing
        WHERE item.job = :job AND item.step = json_extract(place.value, '$[0]')
            AND item.state = json_extract(place.value, '$[1]') AND item.line = :line
            AND item.id BETWEEN json_extract(bucket.value, '$[0]') AND json_extract(bucket.value, '$[1]')
    ) AS first_item
FROM json_each(:groups) AS place CROSS JOIN json_each(:buckets) AS bucket;

-- name: keys
SELECT id, key FROM item WHERE job = :job AND id IN (SELECT value FROM json_each(:items));
