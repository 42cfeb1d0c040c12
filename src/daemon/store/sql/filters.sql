-- Parts of WHERE over the table job, for filters.

-- name: counts
-- As core.progress.job_counts: items of the line of items, or the steps of a pipeline without items.
SELECT total, succeeded, failed, skipped, succeeded + failed + skipped AS processed
FROM (
    SELECT iif(item_line = 0, count(*), coalesce(max(iif(is_first, total, 0)), 0)) AS total,
           iif(item_line = 0, sum(succeeded), coalesce(max(iif(is_last, succeeded, 0)), 0)) AS succeeded,
           coalesce(sum(failed), 0) AS failed,
           coalesce(sum(skipped), 0) AS skipped
    FROM (
        SELECT shape.item_line, step.total, step.succeeded, step.failed, step.skipped,
               step.position = min(step.position) OVER () AS is_first,
               step.position = max(step.position) OVER () AS is_last
        FROM (
            SELECT key AS position, json_extract(value, '$.line') AS line,
                   -- The first step that opens a line says which one a person means by "items".
                   coalesce(first_value(json_extract(value, '$.feeds')) OVER (ORDER BY json_extract(value, '$.feeds') IS NULL, key), 0) AS item_line
            FROM json_each(job.definition_json, '$.steps')
        ) AS shape
        JOIN step ON step.job = job.sequence AND step.position = shape.position
        WHERE shape.line = shape.item_line
    )
)

-- name: label
SELECT 1 FROM job_label WHERE job_label.job = job.sequence AND job_label.name = ?
