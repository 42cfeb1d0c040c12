-- Times are Unix seconds. States are the names of the enums of core.model. Columns named *_json hold JSON text.
-- CHECKs of `item` and `task` use OR: SQLite fills a temporary table for an IN list, with each row that is written.

-- One row: which store this is, and how many commits have changed it.
CREATE TABLE meta (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    store_id TEXT NOT NULL,
    revision INTEGER NOT NULL
) STRICT;

CREATE TABLE job (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    revision INTEGER NOT NULL,
    name TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('SCHEDULED', 'QUEUED', 'RUNNING', 'PAUSING', 'PAUSED', 'CANCELLING', 'CANCELLED',
                                         'WAITING', 'COMPLETED', 'FAILED')),
    pipeline TEXT NOT NULL,
    source_json TEXT NOT NULL,
    definition_json TEXT NOT NULL,
    parameters_json TEXT NOT NULL,
    queue TEXT NOT NULL,
    priority INTEGER NOT NULL,
    create_time REAL NOT NULL,
    activity_time REAL NOT NULL,
    start_time REAL,
    end_time REAL,
    scheduled_time REAL,
    queue_time REAL,
    reason_json TEXT,
    stop_json TEXT,
    stop_revision INTEGER NOT NULL,
    run_count INTEGER NOT NULL,
    resume_count INTEGER NOT NULL,
    auto_resume_count INTEGER NOT NULL,
    auto_resume_mark INTEGER NOT NULL,
    elapsed REAL NOT NULL,
    runner_lost_policy TEXT NOT NULL CHECK (runner_lost_policy IN ('RESUME', 'HOLD')),
    uniqueness_key TEXT,
    python TEXT NOT NULL,
    working_directory TEXT NOT NULL,
    environment_json TEXT NOT NULL,
    omitted_variables_json TEXT NOT NULL,
    input_json TEXT,
    submitted_by TEXT NOT NULL,
    -- Ids of items are never used twice: a late report must not meet another item under the same number.
    next_item INTEGER NOT NULL,
    CHECK (stop_json IS NULL OR state IN ('RUNNING', 'PAUSING', 'CANCELLING')),
    CHECK (stop_json IS NOT NULL OR state NOT IN ('PAUSING', 'CANCELLING')),
    CHECK ((end_time IS NOT NULL) = (state IN ('COMPLETED', 'FAILED', 'CANCELLED'))),
    CHECK ((queue_time IS NOT NULL) = (state = 'QUEUED')),
    CHECK (scheduled_time IS NOT NULL OR state <> 'SCHEDULED'),
    CHECK (reason_json IS NOT NULL OR state NOT IN ('WAITING', 'FAILED'))
) STRICT;
CREATE INDEX job_revision ON job (revision);
CREATE INDEX job_state ON job (state);
CREATE INDEX job_name ON job (name);
-- A job holds its key from submit until it has ended. NULL: duplicates were allowed.
CREATE UNIQUE INDEX job_uniqueness ON job (uniqueness_key)
    WHERE uniqueness_key IS NOT NULL AND state NOT IN ('COMPLETED', 'FAILED', 'CANCELLED');

CREATE TABLE job_label (
    job INTEGER NOT NULL REFERENCES job (sequence) ON DELETE CASCADE,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (job, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX job_label_value ON job_label (name, value, job);

-- Jobs that were removed, for those who watch.
CREATE TABLE tombstone (
    job_id TEXT PRIMARY KEY,
    revision INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX tombstone_revision ON tombstone (revision);

CREATE TABLE run (
    job INTEGER NOT NULL REFERENCES job (sequence) ON DELETE CASCADE,
    number INTEGER NOT NULL CHECK (number > 0),
    mark TEXT NOT NULL UNIQUE,
    token_hash TEXT NOT NULL,
    create_time REAL NOT NULL,
    pid INTEGER,
    process_start_ticks INTEGER,
    boot_id TEXT,
    hello_time REAL,
    end_time REAL,
    end TEXT CHECK (end IN ('FINISHED', 'LOST', 'START_FAILED')),
    PRIMARY KEY (job, number),
    CHECK ((end IS NULL) = (end_time IS NULL)),
    CHECK ((pid IS NULL) = (process_start_ticks IS NULL) AND (pid IS NULL) = (boot_id IS NULL))
) STRICT, WITHOUT ROWID;
-- At most one run of a job is open.
CREATE UNIQUE INDEX run_open ON run (job) WHERE end IS NULL;

-- Counters of records by outcome. What left the line before a step and what is pending is derived, never stored.
CREATE TABLE step (
    job INTEGER NOT NULL REFERENCES job (sequence) ON DELETE CASCADE,
    position INTEGER NOT NULL CHECK (position >= 0),
    name TEXT NOT NULL,
    total INTEGER NOT NULL,
    total_known INTEGER NOT NULL CHECK (total_known IN (0, 1)),
    succeeded INTEGER NOT NULL DEFAULT 0 CHECK (succeeded >= 0),
    failed INTEGER NOT NULL DEFAULT 0 CHECK (failed >= 0),
    skipped INTEGER NOT NULL DEFAULT 0 CHECK (skipped >= 0),
    retrying INTEGER NOT NULL DEFAULT 0 CHECK (retrying >= 0),
    start_time REAL,
    end_time REAL,
    PRIMARY KEY (job, position),
    CHECK (succeeded + failed + skipped + retrying <= total)
) STRICT, WITHOUT ROWID;
CREATE INDEX step_retrying ON step (job) WHERE retrying > 0;

CREATE TABLE step_label (
    job INTEGER NOT NULL REFERENCES job (sequence) ON DELETE CASCADE,
    step INTEGER NOT NULL,
    outcome TEXT NOT NULL CHECK (outcome IN ('SUCCEEDED', 'SKIPPED', 'FAILED')),
    label TEXT NOT NULL,
    count INTEGER NOT NULL CHECK (count >= 0),
    PRIMARY KEY (job, step, outcome, label)
) STRICT, WITHOUT ROWID;

-- id 0 is the root. `step`: where the item waits, or where it left the line, or the last one when it is through.
CREATE TABLE item (
    job INTEGER NOT NULL REFERENCES job (sequence) ON DELETE CASCADE,
    id INTEGER NOT NULL CHECK (id >= 0),
    line INTEGER NOT NULL,
    parent INTEGER,
    position INTEGER NOT NULL,
    key TEXT NOT NULL,
    payload_json TEXT NOT NULL,
    step INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state = 'PENDING' OR state = 'SUCCEEDED' OR state = 'RETRY' OR state = 'SKIPPED'
                               OR state = 'FAILED'),
    label TEXT NOT NULL DEFAULT '',
    epoch INTEGER NOT NULL DEFAULT 0,
    attempts_used INTEGER NOT NULL DEFAULT 0,
    lost INTEGER NOT NULL DEFAULT 0,
    due REAL,
    enumeration INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (job, id),
    CHECK ((id = 0) = (parent IS NULL)),
    CHECK ((due IS NOT NULL) = (state = 'RETRY'))
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX item_key ON item (job, key, line, parent);
-- Of nested items only: the line below the root is most of a job, and is gone through as a whole when it must be.
CREATE INDEX item_parent ON item (job, parent) WHERE parent > 0;
CREATE INDEX item_pending ON item (job, step, id) WHERE state = 'PENDING';
CREATE INDEX item_retry ON item (job, due) WHERE state = 'RETRY';
CREATE INDEX item_failed ON item (job, id) WHERE state = 'FAILED';

-- Checkpoints: how a task ended. Never changed; what replaces one moves it to `archive` first.
CREATE TABLE task (
    job INTEGER NOT NULL REFERENCES job (sequence) ON DELETE CASCADE,
    step INTEGER NOT NULL,
    item INTEGER NOT NULL,
    outcome TEXT NOT NULL CHECK (outcome = 'SUCCEEDED' OR outcome = 'SKIPPED' OR outcome = 'FAILED'),
    label TEXT NOT NULL,
    result_json TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    run INTEGER NOT NULL,
    start_time REAL NOT NULL,
    end_time REAL NOT NULL,
    folder TEXT NOT NULL,
    failure_json TEXT,
    revision INTEGER NOT NULL,
    PRIMARY KEY (job, step, item),
    CHECK ((failure_json IS NOT NULL) = (outcome = 'FAILED'))
) STRICT, WITHOUT ROWID;

-- Records that were replaced, with the event that did it. The key stays when the item itself is gone.
CREATE TABLE archive (
    id INTEGER PRIMARY KEY,
    job INTEGER NOT NULL REFERENCES job (sequence) ON DELETE CASCADE,
    event INTEGER NOT NULL,
    step INTEGER NOT NULL,
    item INTEGER NOT NULL,
    key TEXT NOT NULL,
    outcome TEXT NOT NULL,
    label TEXT NOT NULL,
    result_json TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    run INTEGER NOT NULL,
    start_time REAL NOT NULL,
    end_time REAL NOT NULL,
    folder TEXT NOT NULL,
    failure_json TEXT,
    revision INTEGER NOT NULL
) STRICT;
CREATE INDEX archive_job ON archive (job, event);

-- Attempts that failed, whatever became of the task.
CREATE TABLE attempt (
    id INTEGER PRIMARY KEY,
    job INTEGER NOT NULL REFERENCES job (sequence) ON DELETE CASCADE,
    step INTEGER NOT NULL,
    item INTEGER NOT NULL,
    key TEXT NOT NULL,
    number INTEGER NOT NULL,
    run INTEGER NOT NULL,
    start_time REAL NOT NULL,
    end_time REAL NOT NULL,
    failure_json TEXT NOT NULL
) STRICT;
CREATE INDEX attempt_job ON attempt (job);
CREATE INDEX attempt_key ON attempt (job, key);

-- What task.save() stored; it goes when the task ends.
CREATE TABLE saved (
    job INTEGER NOT NULL REFERENCES job (sequence) ON DELETE CASCADE,
    step INTEGER NOT NULL,
    item INTEGER NOT NULL,
    state_json TEXT NOT NULL,
    PRIMARY KEY (job, step, item)
) STRICT, WITHOUT ROWID;

CREATE TABLE event (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    time REAL NOT NULL,
    by TEXT NOT NULL,
    client TEXT NOT NULL,
    message TEXT NOT NULL,
    from_state TEXT,
    to_state TEXT,
    revision INTEGER NOT NULL
) STRICT;
CREATE INDEX event_job ON event (job_id);

-- What was answered to a request that may be sent again.
CREATE TABLE request (
    id TEXT PRIMARY KEY,
    rpc TEXT NOT NULL,
    payload_hash TEXT NOT NULL,
    response BLOB NOT NULL,
    time REAL NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX request_time ON request (time);

-- A rewriting of rows that is done in parts. `cursor`: the highest item done; -1 at the start.
CREATE TABLE operation (
    job INTEGER PRIMARY KEY REFERENCES job (sequence) ON DELETE CASCADE,
    kind TEXT NOT NULL CHECK (kind IN ('REWIND', 'RETRY')),
    arguments_json TEXT NOT NULL,
    cursor INTEGER NOT NULL DEFAULT -1,
    event INTEGER NOT NULL
) STRICT;
