-- name: executions
-- Without duplicates, which were never executed. Step and bucket are one number: a GROUP BY of a single one takes half
-- the time.
SELECT place / 4096 AS step, place % 4096 AS bucket, count(*) AS count, sum(seconds) AS total, min(seconds) AS shortest,
    max(seconds) AS longest
FROM (
    SELECT step * 4096 + cast(ceil(ln(max(seconds, :smallest) / :smallest) / ln(:growth)) AS INTEGER) AS place, seconds
    FROM (
        SELECT step, max(end_time - start_time, 0.0) AS seconds FROM task
        WHERE job = :job AND outcome <> 'FAILED' AND attempt > 0
    )
)
GROUP BY place;

-- name: failed_attempts
SELECT step, error_class, cast(ceil(ln(max(seconds, :smallest) / :smallest) / ln(:growth)) AS INTEGER) AS bucket,
    count(*) AS count, sum(seconds) AS total, min(seconds) AS shortest, max(seconds) AS longest
FROM (
    SELECT step, json_extract(failure_json, '$.error_class') AS error_class,
        max(end_time - start_time, 0.0) AS seconds
    FROM attempt WHERE job = :job
)
GROUP BY step, error_class, bucket;

-- name: throughput
-- What was recorded before the start, or after the end, by another clock counts to the first or the last point.
SELECT min(max(cast((end_time - :start) / :width AS INTEGER), 0), :points - 1) AS point, count(*) AS processed
FROM task WHERE job = :job GROUP BY point;
