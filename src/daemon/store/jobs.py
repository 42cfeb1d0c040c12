"""Jobs with the counts of their steps: insert, find, list, save."""

import sqlite3
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from milepost.core.definition import PipelineDefinition
from milepost.core.model import Job, JobState
from milepost.daemon.store.store import Transaction


def insert(tx: Transaction, job: Job, definition: PipelineDefinition) -> Job:
    """The job, its steps and its root item, pending at step 0. `job.sequence`, `revision` and `steps` are given here.

    Returns the job as stored. Raises sqlite3.IntegrityError when another unfinished job holds the uniqueness key: ask
    `holder_of_key` first.
    """
    raise NotImplementedError


def save(tx: Transaction, job: Job) -> None:
    """Writes what lifecycle decisions change, and name, labels and priority; counts and operation have other owners."""
    raise NotImplementedError


def get(db: sqlite3.Connection, job_id: str) -> Job:
    """Raises MilepostError(JOB_NOT_FOUND)."""
    raise NotImplementedError


def resolve(db: sqlite3.Connection, reference: str) -> str:
    """Id of the job that a person means: an id, a unique prefix of one (with or without "j-"), a unique name, "@last".

    Raises MilepostError: JOB_NOT_FOUND, or JOB_AMBIGUOUS with the candidates in its remedy.
    """
    raise NotImplementedError


def by_ids(db: sqlite3.Connection, job_ids: Iterable[str]) -> list[Job]:
    """Newest first; ids that are gone are left out. A fixed number of queries, however many jobs."""
    raise NotImplementedError


def page(
    db: sqlite3.Connection, clause: str, arguments: Sequence[Any], before_sequence: int | None, limit: int
) -> list[Job]:
    """Newest first. `clause`: SQL over the table `job` ("" for all) with its `?` arguments, from the filter."""
    raise NotImplementedError


def count(db: sqlite3.Connection, clause: str, arguments: Sequence[Any]) -> int:
    raise NotImplementedError


def changed_since(
    db: sqlite3.Connection,
    revision: int,
    limit: int,
    clause: str = "",
    arguments: Sequence[Any] = (),
    after_sequence: int = 1 << 62,
) -> list[Job]:
    """Jobs after (revision, after_sequence), in that order; with the default: changed after this revision."""
    raise NotImplementedError


def deleted_since(db: sqlite3.Connection, revision: int) -> list[str]:
    """Ids of the jobs removed after this revision."""
    raise NotImplementedError


def in_states(db: sqlite3.Connection, states: Collection[JobState]) -> list[Job]:
    """Oldest first."""
    raise NotImplementedError


def count_by_state(db: sqlite3.Connection) -> dict[JobState, int]:
    raise NotImplementedError


def holder_of_key(db: sqlite3.Connection, key: str, excluding: str = "") -> str | None:
    """Id of the unfinished job that holds this uniqueness key, other than `excluding`."""
    raise NotImplementedError
