-- name: queued
SELECT id, queue, priority, queue_time, sequence FROM job WHERE state = 'QUEUED'
