-- name: insert
INSERT INTO run (
    job, number, mark, token_hash, create_time, cgroup,
    pid, process_start_ticks, boot_id, hello_time, end_time, end
) VALUES (
    :job, :number, :mark, :token_hash, :create_time, :cgroup,
    :pid, :process_start_ticks, :boot_id, :hello_time, :end_time, :end
);

-- name: get
SELECT job.id AS job_id, run.* FROM run JOIN job ON job.sequence = run.job WHERE job.id = ? AND number = ?;

-- name: open_among
-- `runs`: an array of [job, number].
SELECT job, number FROM run
WHERE (job, number) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?)) AND end IS NULL;

-- name: open
SELECT job.id AS job_id, run.* FROM run JOIN job ON job.sequence = run.job WHERE run.end IS NULL ORDER BY job.sequence;

-- name: ended_spans
SELECT job.id AS job_id, run.create_time, run.end_time
FROM json_each(?) AS asked JOIN job ON job.id = asked.value JOIN run ON run.job = job.sequence
WHERE run.end IS NOT NULL;

-- name: open_since
SELECT job.id, run.create_time FROM run JOIN job ON job.sequence = run.job WHERE run.end IS NULL;

-- name: identify
UPDATE run SET pid = :pid, process_start_ticks = :process_start_ticks, boot_id = :boot_id,
    hello_time = coalesce(hello_time, :hello_time)
WHERE job = :job AND number = :number;

-- name: close
UPDATE run SET end = ?, end_time = ? WHERE job = ? AND number = ? AND end IS NULL
RETURNING create_time;

-- name: add_elapsed
UPDATE job SET elapsed = elapsed + ? WHERE sequence = ?;
