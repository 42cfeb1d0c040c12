"""Items, their records and failed attempts, in pages."""

import sqlite3
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from milepost.core.definition import PipelineDefinition
from milepost.core.model import Failure, ItemState, Outcome
from milepost.daemon.store import rows
from milepost.daemon.store.queries import load

_QUERIES = load("items")
_ENDED = (ItemState.SUCCEEDED, ItemState.SKIPPED, ItemState.FAILED)


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
    """In order of ids. What is left empty does not restrict.

    Where a job has items, its root (id 0) is listed only when it has failed.
    """
    restriction = {
        "states": rows.dump(list(states)),
        "step": step,
        "label": label,
        "keys": rows.dump(list(keys)),
        "after": after_id,
        "limit": limit,
        "with_failed_root": True,
    }
    source = _QUERIES.from_all
    if keys:
        source = _QUERIES.from_keys
    elif set(states) == {ItemState.FAILED}:
        source = _QUERIES.from_failed
    return _select(db, job_id, source, restriction, full=full)


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
    restriction = {
        "states": rows.dump([str(state) for state in outcomes or _ENDED]),
        "step": None,
        "label": label,
        "after": after_id,
        "limit": limit,
        "with_failed_root": False,
    }
    return _select(db, job_id, _QUERIES.from_all, restriction, full=True)


def attempts(
    db: sqlite3.Connection, job_id: str, key: str = "", before_id: int | None = None, limit: int = 100
) -> list[Attempt]:
    """Newest first; of all items when the key is empty."""
    query = _QUERIES.attempts_of_key if key else _QUERIES.attempts
    place = {"job": rows.sequence_of(db, job_id), "before": (1 << 62) if before_id is None else before_id}
    return [_attempt(row) for row in db.execute(query, place | {"key": key, "limit": limit}).fetchall()]


def gather(
    db: sqlite3.Connection, job_id: str, definition: PipelineDefinition, step: int, after_id: int, limit: int
) -> list[GatherRow]:
    """What this `all` step takes: the ended items of the line before it, in order of ids (-1: from the first)."""
    sequence = rows.sequence_of(db, job_id)
    found = db.execute(_QUERIES.gather, (sequence, after_id, _line_before(definition, step), limit)).fetchall()
    records = _records(db, sequence, [row["id"] for row in found])
    return [_gather_row(row, [r for r in records.get(row["id"], ()) if r.step < step]) for row in found]


def _line_before(definition: PipelineDefinition, step: int) -> int:
    """The line whose items an `all` step takes: what the step before it gave, or went along."""
    if step == 0:
        return 0
    before = definition.steps[step - 1]
    return before.line if before.feeds is None else before.feeds


def _select(
    db: sqlite3.Connection, job_id: str, source: str, restriction: Mapping[str, object], *, full: bool
) -> list[Item]:
    sequence = rows.sequence_of(db, job_id)
    query = f"{_QUERIES.select} {source} {_QUERIES.restrict}"
    found = db.execute(query, {**restriction, "job": sequence}).fetchall()
    records = _records(db, sequence, [row["id"] for row in found]) if full else {}
    return [
        Item(
            id=row["id"],
            parent=row["parent"],
            key=row["key"],
            state=ItemState(row["state"]),
            step=row["step"],
            label=row["label"],
            attempts_used=row["attempts_used"],
            due=row["due"],
            failure=rows.failure(row["failure_json"]),
            payload_json=row["payload_json"] if full else "",
            records=tuple(records.get(row["id"], ())),
        )
        for row in found
    ]


def _records(db: sqlite3.Connection, sequence: int, items: Sequence[int]) -> Mapping[int, list[Record]]:
    records: dict[int, list[Record]] = defaultdict(list)
    for row in db.execute(_QUERIES.records, {"job": sequence, "items": rows.dump(items)}).fetchall():
        records[row["item"]].append(
            Record(
                step=row["step"],
                outcome=Outcome(row["outcome"]),
                label=row["label"],
                result_json=row["result_json"],
                attempt=row["attempt"],
                start_time=row["start_time"],
                end_time=row["end_time"],
                folder=row["folder"],
                failure=rows.failure(row["failure_json"]),
            )
        )
    return records


def _attempt(row: sqlite3.Row) -> Attempt:
    failure = rows.failure(row["failure_json"])
    assert failure is not None
    return Attempt(
        id=row["id"],
        item=row["item"],
        key=row["key"],
        step=row["step"],
        number=row["number"],
        run=row["run"],
        start_time=row["start_time"],
        end_time=row["end_time"],
        failure=failure,
    )


def _gather_row(row: sqlite3.Row, records: Sequence[Record]) -> GatherRow:
    # The root goes on from one step of its line to the next, so it stands at the gather itself.
    last = records[-1] if records else None
    return GatherRow(
        item=row["id"],
        key=row["key"],
        payload_json=row["payload_json"],
        step=last.step if last else row["step"],
        outcome=last.outcome if last else Outcome.SUCCEEDED,
        label=last.label if last else "",
        results=tuple((record.step, record.result_json) for record in records if record.result_json),
        failure=last.failure if last else None,
    )
