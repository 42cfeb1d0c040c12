"""Rewriting many rows of a job, in commits of bounded size that survive a crash in between."""

import sqlite3
from dataclasses import dataclass

from milepost.core.definition import PipelineDefinition
from milepost.daemon.store.store import Transaction


@dataclass(frozen=True)
class Rewind:
    """Archives every record of this step and later ones; items start there anew."""

    step: int


@dataclass(frozen=True)
class Retry:
    """Failed items wait at their step again: those with these keys, of this class of error, or all."""

    keys: tuple[str, ...] = ()
    error_class: str = ""


Operation = Rewind | Retry


def begin(tx: Transaction, job_id: str, operation: Operation, event: int) -> None:
    """Records the intent: `Job.operation` is "REWIND" or "RETRY" from here on. `event`: the one that asked for it.

    Raises MilepostError(JOB_CHANGING) while another one is under way.
    """
    raise NotImplementedError


def advance(tx: Transaction, job_id: str, definition: PipelineDefinition, now: float, limit: int = 5000) -> bool:
    """Does the next part, of at most `limit` items. True when nothing is left; `Job.operation` is None then."""
    raise NotImplementedError


def reopen_root(tx: Transaction, job_id: str, definition: PipelineDefinition, event: int, now: float) -> bool:
    """If the root's task has failed, it waits again (a resume of a failed job does this at once). True if it had."""
    raise NotImplementedError


def count_failed(db: sqlite3.Connection, job_id: str, retry: Retry) -> int:
    """How many items the retry would run again."""
    raise NotImplementedError
