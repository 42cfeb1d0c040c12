-- name: insert
INSERT INTO job (
    id, revision, name, state, pipeline, source_json, definition_json, parameters_json, queue, priority, create_time,
    activity_time, start_time, end_time, scheduled_time, queue_time, reason_json, stop_json, stop_revision, run_count,
    resume_count, auto_resume_count, auto_resume_mark, elapsed, runner_lost_policy, uniqueness_key, python,
    working_directory, environment_json, omitted_variables_json, input_json, submitted_by, next_item
) VALUES (
    :id, :revision, :name, :state, :pipeline, :source_json, :definition_json, :parameters_json, :queue, :priority,
    :create_time, :activity_time, :start_time, :end_time, :scheduled_time, :queue_time, :reason_json, :stop_json,
    :stop_revision, :run_count, :resume_count, :auto_resume_count, :auto_resume_mark, :elapsed, :runner_lost_policy,
    :uniqueness_key, :python, :working_directory, :environment_json, :omitted_variables_json, :input_json,
    :submitted_by, 1
);

-- name: update
UPDATE job SET
    revision = :revision, name = :name, state = :state, queue = :queue, priority = :priority, activity_time = :activity_time,
    start_time = :start_time, end_time = :end_time, scheduled_time = :scheduled_time, queue_time = :queue_time,
    reason_json = :reason_json, stop_json = :stop_json, stop_revision = :stop_revision, run_count = :run_count,
    resume_count = :resume_count, auto_resume_count = :auto_resume_count, auto_resume_mark = :auto_resume_mark,
    runner_lost_policy = :runner_lost_policy, uniqueness_key = :uniqueness_key
WHERE id = :id;

-- name: state
SELECT state FROM job WHERE id = ?;

-- name: revisions
SELECT id, revision FROM job WHERE id IN (SELECT value FROM json_each(?));

-- name: ended_of_key
SELECT id FROM job INDEXED BY job_ended_key
WHERE uniqueness_key = ? AND state IN ('COMPLETED', 'FAILED', 'CANCELLED') AND id <> ?
ORDER BY sequence DESC LIMIT ?;

-- name: insert_label
INSERT INTO job_label (job, name, value) VALUES (?, ?, ?);

-- name: insert_step
INSERT INTO step (job, position, name, total, total_known) VALUES (?, ?, ?, ?, ?);

-- name: insert_root
INSERT INTO item (job, id, line, parent, position, key, payload_json, step, state)
VALUES (?, 0, 0, NULL, 0, '', '{}', 0, 'PENDING');

-- name: select
-- Followed by a WHERE clause that is composed, an order and a limit.
SELECT job.*, operation.kind AS operation,
    (SELECT coalesce(sum(retrying), 0) FROM step WHERE step.job = job.sequence AND step.retrying > 0) AS retry_count,
    EXISTS (SELECT 1 FROM job_label WHERE job_label.job = job.sequence) AS has_labels
FROM job LEFT JOIN operation ON operation.job = job.sequence

-- name: count
-- Followed by a WHERE clause that is composed.
SELECT count(*) FROM job

-- name: steps
-- A step has a row for each label that it counts, or one without.
SELECT step.job, position, name, total, total_known, succeeded, failed, skipped, start_time, end_time,
    outcome, label, count
FROM step LEFT JOIN step_label ON step_label.job = step.job AND step_label.step = position AND count > 0
WHERE step.job IN (SELECT value FROM json_each(?)) ORDER BY step.job, position, outcome, label;

-- name: labels
SELECT * FROM job_label WHERE job IN (SELECT value FROM json_each(?)) ORDER BY job, name;

-- name: next_retry
SELECT job, min(due) AS due FROM item
WHERE job IN (SELECT value FROM json_each(?)) AND state = 'RETRY' GROUP BY job;

-- name: id_exists
SELECT id FROM job WHERE id = ?;

-- name: last_id
SELECT id FROM job ORDER BY sequence DESC LIMIT 1;

-- name: by_prefix
SELECT id, name FROM job WHERE id >= :prefix AND id < :prefix || char(1114111) ORDER BY sequence DESC LIMIT :limit;

-- name: by_name
SELECT id, name FROM job WHERE name = ? ORDER BY sequence DESC LIMIT ?;

-- name: deleted_since
SELECT job_id FROM tombstone WHERE revision > ? ORDER BY revision, job_id;

-- name: count_by_state
SELECT state, count(*) FROM job GROUP BY state;

-- name: holder_of_key
SELECT id FROM job
WHERE uniqueness_key = ? AND state NOT IN ('COMPLETED', 'FAILED', 'CANCELLED') AND id <> ?;
