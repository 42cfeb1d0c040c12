-- name: queued
SELECT id, queue, priority, queue_time, sequence, EXISTS (SELECT 1 FROM operation WHERE job = sequence) AS held
FROM job WHERE state = 'QUEUED';

-- name: active_queues
SELECT queue FROM job WHERE state IN ('RUNNING', 'PAUSING', 'CANCELLING');
