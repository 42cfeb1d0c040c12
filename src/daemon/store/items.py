"""Items, their records and failed attempts, in pages and windows."""

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


@dataclass(frozen=True)
class Restriction:
    """Which items are meant; what is left empty does not restrict. `error_class`: of the last failure.

    Where a job has items, its root (id 0) is among them only when it has failed, and not even then without
    `with_failed_root`.
    """

    states: tuple[ItemState, ...] = ()
    step: int | None = None
    label: str = ""
    keys: tuple[str, ...] = ()
    error_class: str = ""
    with_failed_root: bool = True

    def values(self, sequence: int, after_id: int = -1) -> dict[str, object]:
        return {
            "job": sequence,
            "after": after_id,
            "states": rows.dump(self.states),
            "step": self.step,
            "label": self.label,
            "error_class": self.error_class,
            "with_failed_root": self.with_failed_root,
            **rows.named("key", self.keys),
        }

    def source(self) -> str:
        """That gives items in order of ids."""
        if self.keys:
            return f"{_QUERIES.from_keys} {rows.names('key', self.keys)}"
        if self.states == (ItemState.FAILED,):
            return _QUERIES.from_failed
        return _QUERIES.from_troubled if self.error_class else _QUERIES.from_all

    def clause(self, source: str) -> str:
        parts = [source, _QUERIES.restrict]
        if self.label:
            parts.append(_QUERIES.of_label)
        if self.error_class:
            parts.append(_QUERIES.of_class)
        return "\n".join(parts)


EVERY_ITEM = Restriction()


def page(
    db: sqlite3.Connection,
    job_id: str,
    restriction: Restriction = EVERY_ITEM,
    *,
    after_id: int = -1,
    limit: int = 100,
    full: bool = False,
) -> list[Item]:
    """In order of ids."""
    sequence = rows.sequence_of(db, job_id)
    query = f"{_QUERIES.select} {restriction.clause(restriction.source())} {_QUERIES.in_order}"
    values = restriction.values(sequence, after_id) | {"limit": limit, "offset": 0}
    found = db.execute(query, values).fetchall()
    records = _records(db, sequence, [row["id"] for row in found]) if full else {}
    return [_item(row, records.get(row["id"], ()), full=full) for row in found]


def total(db: sqlite3.Connection, job_id: str, restriction: Restriction) -> int:
    sequence = rows.sequence_of(db, job_id)
    extent = _extent(db, sequence)
    if restriction == EVERY_ITEM and extent.is_dense:
        return extent.items + extent.root_is_listed
    source = restriction.source()
    if source == _QUERIES.from_all and not restriction.label:
        source = _QUERIES.from_standing
    query = f"{_QUERIES.count} {restriction.clause(source)}"
    return int(db.execute(query, restriction.values(sequence)).fetchone()[0])


def skip(db: sqlite3.Connection, job_id: str, restriction: Restriction, after_id: int, number: int) -> int | None:
    """The id after which a page begins that leaves out so many (at least 1) items; None when there are not as many."""
    sequence = rows.sequence_of(db, job_id)
    extent = _extent(db, sequence)
    if restriction == EVERY_ITEM and extent.is_dense:
        before_first = -1 if extent.root_is_listed else 0
        last = max(after_id, before_first) + number
        return last if last <= extent.items else None
    query = f"{_QUERIES.ids} {restriction.clause(restriction.source())} {_QUERIES.in_order}"
    values = restriction.values(sequence, after_id) | {"limit": 1, "offset": number - 1}
    row = db.execute(query, values).fetchone()
    return None if row is None else int(row["id"])


@dataclass(frozen=True)
class _Extent:
    """`is_dense`: the ids of the items are 1 to their number, so that a place among them is an id."""

    items: int
    is_dense: bool
    root_is_listed: bool


def _extent(db: sqlite3.Connection, sequence: int) -> _Extent:
    row = db.execute(_QUERIES.extent, {"job": sequence}).fetchone()
    return _Extent(row["counted"], row["given"] == row["counted"], bool(row["root_is_listed"]))


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
    states = tuple(ItemState(outcome) for outcome in outcomes) or _ENDED
    restriction = Restriction(states=states, label=label, with_failed_root=False)
    return page(db, job_id, restriction, after_id=after_id, limit=limit, full=True)


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


def _item(row: sqlite3.Row, records: Sequence[Record], *, full: bool) -> Item:
    return Item(
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
        records=tuple(records),
    )


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
