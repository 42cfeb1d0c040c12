-- Jobs that ended, by their uniqueness key: what may be done with them changes when another job takes or frees it.
CREATE INDEX job_ended_key ON job (uniqueness_key, sequence)
    WHERE uniqueness_key IS NOT NULL AND state IN ('COMPLETED', 'FAILED', 'CANCELLED');
