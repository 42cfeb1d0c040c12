"""Items, their records and failed attempts, in pages."""

import sqlite3
from collections.abc import Collection
from dataclasses import dataclass

from milepost.core.definition import PipelineDefinition
from milepost.core.model import Failure, ItemState, Outcome


@dataclass(frozen=True)
class Record:
    """A checkpoint: how the task of this step ended. `result_json` is empty when there is none."""

    step: int
    outcome: Outcome
    label: str
    result_json: str
    attempt: int
    start_time: float
    end_time: float
    folder: str
    failure: Failure | None


@dataclass(frozen=True)
class Item:
    """`step`: where it waits, or where it left the line. `failure`: the last one, if it failed or will be tried again.

    `payload_json` and `records` are left empty unless asked for.
    """

    id: int
    parent: int | None
    key: str
    state: ItemState
    step: int
    label: str
    attempts_used: int
    due: float | None
    failure: Failure | None
    payload_json: str = ""
    records: tuple[Record, ...] = ()


@dataclass(frozen=True)
class Attempt:
    """One that failed. `number` counts from 1 within the task."""

    id: int
    item: int
    key: str
    step: int
    number: int
    run: int
    start_time: float
    end_time: float
    failure: Failure


@dataclass(frozen=True)
class GatherRow:
    """One input of an `all` step: an item that ended, where (`step`) and how. `results`: (step position, JSON)."""

    item: int
    key: str
    payload_json: str
    step: int
    outcome: Outcome
    label: str
    results: tuple[tuple[int, str], ...]
    failure: Failure | None


def page(
    db: sqlite3.Connection,
    job_id: str,
    *,
    states: Collection[ItemState] = (),
    step: int | None = None,
    label: str = "",
    keys: Collection[str] = (),
    after_id: int = -1,
    limit: int = 100,
    full: bool = False,
) -> list[Item]:
    """In order of ids. What is left empty does not restrict. The root (id 0) is not listed below other items."""
    raise NotImplementedError


def results(
    db: sqlite3.Connection,
    job_id: str,
    *,
    outcomes: Collection[Outcome] = (),
    label: str = "",
    after_id: int = -1,
    limit: int = 500,
) -> list[Item]:
    """Items that ended, in full, in order of ids."""
    raise NotImplementedError


def attempts(
    db: sqlite3.Connection, job_id: str, key: str = "", before_id: int | None = None, limit: int = 100
) -> list[Attempt]:
    """Newest first; of all items when the key is empty."""
    raise NotImplementedError


def gather(
    db: sqlite3.Connection, job_id: str, definition: PipelineDefinition, step: int, after_id: int, limit: int
) -> list[GatherRow]:
    """What this `all` step takes: the ended items of the line before it, in order of ids (-1: from the first)."""
    raise NotImplementedError
