"""Items that a step gives: by chunks from the enumeration of the input, or with the report of an expanding task."""

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from milepost.core.definition import OnDuplicate, PipelineDefinition
from milepost.core.errors import Code, MilepostError
from milepost.core.model import Child, ItemState, Outcome, TaskRef
from milepost.daemon.store import counters, rows
from milepost.daemon.store.counters import Deltas
from milepost.daemon.store.queries import load
from milepost.daemon.store.store import Transaction

_QUERIES = load("children")
DUPLICATE = "duplicate"


def add(
    tx: Transaction,
    job_id: str,
    definition: PipelineDefinition,
    ref: TaskRef,
    enumeration: int,
    first_position: int,
    children: Sequence[Child],
    now: float,
) -> int:
    """Stores a chunk; returns the position wanted next. A chunk sent again changes nothing.

    `enumeration`: a number for each execution of the task: a later one meets the rows of an earlier one by key and
    keeps their records. A key seen twice in one enumeration goes by the pipeline's `on_duplicate`. An empty key is
    replaced by the position, from 1. Raises MilepostError: RUN_FENCED when the task no longer counts,
    INVALID_ARGUMENT for a duplicate with `on_duplicate` "fail".
    """
    sequence = rows.sequence_of(tx.connection, job_id)
    place = {"job": sequence, "item": ref.item, "step": ref.step, "epoch": ref.epoch}
    if ref.step >= len(definition.steps) or tx.execute(_QUERIES.parent, place).fetchone() is None:
        raise MilepostError(
            Code.RUN_FENCED,
            f"The enumeration of {job_id} was replaced: its items no longer count.",
            "Nothing is to be done: the one that replaced it goes on.",
        )
    deltas = Deltas()
    deltas.started(ref.step, now)
    store(tx, sequence, definition, ref, enumeration, first_position, children, now, deltas)
    counters.add(tx, job_id, sequence, definition, deltas, now)
    return first_position + len(children)


def store(
    tx: Transaction,
    sequence: int,
    definition: PipelineDefinition,
    ref: TaskRef,
    enumeration: int,
    first_position: int,
    children: Sequence[Child],
    now: float,
    deltas: Deltas,
) -> None:
    """As `add`, for a caller that has made sure that the task counts, and adds the deltas."""
    line = definition.steps[ref.step].feeds
    if line is None or not children:
        return
    named = _named(children, first_position)
    job = tx.execute(_QUERIES.job, (sequence,)).fetchone()
    siblings = _Siblings(tx.connection, sequence, line, ref.item, enumeration, definition.on_duplicate)
    siblings.load(key for _, key, _ in named)
    plan = _Plan(next_item=job["next_item"])
    for position, key, payload in named:
        siblings.place(plan, position, key, payload)
    _write(tx, sequence, definition, ref, plan, enumeration, line, job["run_count"], now, deltas)


def duplicate_key(definition: PipelineDefinition, children: Sequence[Child]) -> MilepostError | None:
    """The error of an expanding task whose children repeat a key, if its pipeline does not allow that."""
    if definition.on_duplicate is not OnDuplicate.FAIL:
        return None
    seen: dict[str, int] = {}
    for position, key, _ in _named(children, 0):
        if key in seen:
            return _duplicate(key, seen[key], position)
        seen[key] = position
    return None


@dataclass(frozen=True)
class _New:
    id: int
    position: int
    key: str
    payload_json: str
    skipped: bool


@dataclass
class _Plan:
    """What a chunk comes to: rows to insert, and rows of an earlier enumeration, as (position, id), to take over."""

    next_item: int
    new: list[_New] = field(default_factory=list)
    met: list[tuple[int, int]] = field(default_factory=list)


class _Siblings:
    """The children there are of one item on one line, by key, as far as a chunk needs to know them."""

    def __init__(
        self,
        db: sqlite3.Connection,
        sequence: int,
        line: int,
        parent: int,
        enumeration: int,
        on_duplicate: OnDuplicate,
    ) -> None:
        self._db = db
        self._place = {"job": sequence, "line": line, "parent": parent}
        self._enumeration = enumeration
        self._on_duplicate = on_duplicate
        #: key -> (id, enumeration, position)
        self._known: dict[str, tuple[int, int, int]] = {}

    def load(self, keys: Iterable[str]) -> None:
        wanted = self._place | {"keys": rows.dump(list(keys))}
        for row in self._db.execute(_QUERIES.by_keys, wanted).fetchall():
            self._known[row["key"]] = (row["id"], row["enumeration"], row["position"])

    def place(self, plan: _Plan, position: int, key: str, payload_json: str) -> None:
        """A new row, one met again from an earlier enumeration, or nothing when this very child is there."""
        free = self._free_key(key, position)
        known = self._known.get(free)
        if known is None:
            skipped = free != key and self._on_duplicate is OnDuplicate.SKIP
            plan.new.append(_New(plan.next_item, position, free, payload_json, skipped))
            self._known[free] = (plan.next_item, self._enumeration, position)
            plan.next_item += 1
        elif known[1] != self._enumeration:
            plan.met.append((position, known[0]))
            self._known[free] = (known[0], self._enumeration, position)

    def _free_key(self, key: str, position: int) -> str:
        while (known := self._known.get(key)) and known[1] == self._enumeration and known[2] != position:
            if self._on_duplicate is OnDuplicate.FAIL:
                raise _duplicate(key, known[2], position)
            key = f"{key}#{position + 1}"
            if key not in self._known:
                self.load([key])
        return key


def _write(
    tx: Transaction,
    sequence: int,
    definition: PipelineDefinition,
    ref: TaskRef,
    plan: _Plan,
    enumeration: int,
    line: int,
    run: int,
    now: float,
    deltas: Deltas,
) -> None:
    first = definition.line_of_children(ref.step)
    step, open_state = (ref.step, ItemState.SUCCEEDED) if first is None else (first.position, ItemState.PENDING)
    skips = first is not None
    tx.executemany(_QUERIES.meet_again, [(enumeration, position, sequence, item) for position, item in plan.met])
    tx.executemany(
        _QUERIES.insert,
        [
            (
                sequence,
                new.id,
                line,
                ref.item,
                new.position,
                new.key,
                new.payload_json,
                step,
                *((ItemState.SKIPPED.value, DUPLICATE) if new.skipped and skips else (open_state.value, "")),
                enumeration,
            )
            for new in plan.new
        ],
    )
    tx.execute(_QUERIES.set_next_item, (plan.next_item, sequence))
    skipped = [new for new in plan.new if new.skipped and skips]
    tx.executemany(
        _QUERIES.record_duplicate,
        [(sequence, step, new.id, DUPLICATE, run, now, now, tx.revision) for new in skipped],
    )
    if skipped:
        deltas.records[step, Outcome.SKIPPED, DUPLICATE] += len(skipped)
    for shape in definition.steps:
        if shape.line == line:
            deltas.total[shape.position] += len(plan.new)


def _named(children: Sequence[Child], first_position: int) -> list[tuple[int, str, str]]:
    return [
        (position, child.key or str(position + 1), child.payload_json)
        for position, child in enumerate(children, first_position)
    ]


def _duplicate(key: str, first: int, second: int) -> MilepostError:
    return MilepostError(
        Code.INVALID_ARGUMENT,
        f"Item {second + 1} has the key {key!r}, which item {first + 1} has already.",
        'Make the keys unique, or set on_duplicate to "skip" or "keep".',
    )
