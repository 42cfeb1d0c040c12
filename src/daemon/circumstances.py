"""What a decision about a job depends on besides its row: the same for the commands and for what clients are shown."""

import sqlite3
from pathlib import Path

from milepost.core.lifecycle import Circumstances
from milepost.core.model import ENDED_STATES, Job
from milepost.daemon.store import jobs

#: Name of the sentinel file that pauses a job (in its folder) or all jobs (in the state folder) (J14).
PAUSE_FILE = "PAUSE"


def circumstances(db: sqlite3.Connection, job: Job, state_folder: Path) -> Circumstances:
    return Circumstances(key_holder=key_holder(db, job), pause_file=pause_file(state_folder))


def pause_file(state_folder: Path) -> str | None:
    """The sentinel file for all jobs, if it is there."""
    sentinel = state_folder / PAUSE_FILE
    return str(sentinel) if sentinel.exists() else None


def key_holder(db: sqlite3.Connection, job: Job) -> str | None:
    """The unfinished job that holds the uniqueness key of this one, which has ended."""
    if job.uniqueness_key is None or job.state not in ENDED_STATES:
        return None
    return jobs.holder_of_key(db, job.uniqueness_key, job.id)
