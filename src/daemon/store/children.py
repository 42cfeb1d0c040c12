"""Items that a step gives: by chunks from the enumeration of the input, or with the report of an expanding task.

When the task runs again, it meets the children of the execution before, by key. One with the same payload keeps its
records; one whose payload has changed is another item under the same key; one that is missing goes, and all below it.
The records of those that go are archived.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from milepost.core.definition import OnDuplicate, PipelineDefinition, StepDefinition
from milepost.core.errors import Code, MilepostError
from milepost.core.model import Child, Event, ItemState, Outcome, TaskRef
from milepost.daemon.store import counters, events, rows
from milepost.daemon.store.bulk import Bulk
from milepost.daemon.store.counters import Deltas
from milepost.daemon.store.group_commit import Transaction
from milepost.daemon.store.operations import Part
from milepost.daemon.store.queries import load

_QUERIES = load("children")
DUPLICATE = "duplicate"
#: Items that are removed together.
_PART = 5000
_INSERT = Bulk(_QUERIES.insert, row="(?, ?, ?, ?)")


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

    `enumeration`: a number for each execution of the task. A key seen twice in one enumeration goes by the pipeline's
    `on_duplicate`. An empty key is replaced by the position, from 1. Raises MilepostError: RUN_FENCED when the task no
    longer counts, INVALID_ARGUMENT for a duplicate with `on_duplicate` "fail".
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
    job = tx.execute(_QUERIES.job, (sequence,)).fetchone()
    first = definition.line_of_children(ref.step)
    step, state = (ref.step, ItemState.SUCCEEDED) if first is None else (first.position, ItemState.PENDING)
    family = _Family(sequence, line, ref.item, step, state, enumeration)
    given = _New.numbered(job["next_item"], first_position, children)
    stored = len(children)
    if not _insert_if_all_are_new(tx, family, given):
        plan = _plan(tx.connection, definition, family, given)
        _replace(tx, definition, family, plan, now, deltas)
        _insert(tx, family, state, "", _New.of(plan.new))
        _set_aside(tx, family, _New.of(plan.duplicates), job["run_count"], now, deltas)
        stored = len(plan.new) + len(plan.duplicates)
    tx.execute(_QUERIES.set_next_item, (job["next_item"] + stored, sequence))
    for shape in definition.steps:
        if shape.line == line:
            deltas.total[shape.position] += stored


def drop_missing(
    tx: Transaction,
    sequence: int,
    definition: PipelineDefinition,
    ref: TaskRef,
    enumeration: int,
    now: float,
    deltas: Deltas,
) -> None:
    """Removes children of this item at this step that another enumeration gave: this one has ended.

    In one transaction, so that nobody sees the line half old and half new: 100,000 that are gone hold the writer for
    about two seconds. The caller makes sure that there can be some: below the root every item is looked at.
    """
    place = {"job": sequence, "parent": ref.item, "line": definition.steps[ref.step].feeds, "enumeration": enumeration}
    query = _QUERIES.missing if ref.item else _QUERIES.missing_of_root
    missing = tx.execute(query, place).fetchall()
    _remove(tx, sequence, definition, missing, "are not given any more", now, deltas)


def counted(tx: Transaction, sequence: int, first: StepDefinition) -> int:
    """How many items the line that begins with this step has."""
    return int(tx.execute(_QUERIES.total, (sequence, first.position)).fetchone()["total"])


def duplicate_key(definition: PipelineDefinition, children: Sequence[Child]) -> MilepostError | None:
    """The error of an expanding task whose children repeat a key, if its pipeline does not allow that."""
    if definition.on_duplicate is not OnDuplicate.FAIL:
        return None
    seen: dict[str, int] = {}
    for position, key in enumerate(_keys(children, 0)):
        if key in seen:
            return _duplicate(key, seen[key], position)
        seen[key] = position
    return None


class _Family(NamedTuple):
    """The children of one item on one line: at which step and in which state they begin."""

    sequence: int
    line: int
    parent: int
    step: int
    state: ItemState
    enumeration: int


class _New(NamedTuple):
    """Items to insert, by columns."""

    ids: Sequence[int]
    positions: Sequence[int]
    keys: Sequence[str]
    payloads_json: Sequence[str]

    @staticmethod
    def numbered(first_item: int, first_position: int, children: Sequence[Child]) -> "_New":
        """As if none of them were there."""
        payloads = [child.payload_json for child in children]
        ids = range(first_item, first_item + len(children))
        positions = range(first_position, first_position + len(children))
        return _New(ids, positions, _keys(children, first_position), payloads)

    @staticmethod
    def of(rows: Sequence[tuple[int, int, str, str]]) -> "_New":
        return _New(*zip(*rows, strict=True)) if rows else _New((), (), (), ())


class _Known(NamedTuple):
    id: int
    enumeration: int
    position: int
    payload_json: str


@dataclass
class _Plan:
    """What a chunk comes to: rows to insert, those of duplicates apart, and of an earlier enumeration rows to take
    over, as (position, id), and rows to remove, because another payload has their key."""

    next_item: int
    new: list[tuple[int, int, str, str]] = field(default_factory=list)
    duplicates: list[tuple[int, int, str, str]] = field(default_factory=list)
    met: list[tuple[int, int]] = field(default_factory=list)
    changed: list[int] = field(default_factory=list)


class _Siblings:
    """The children there are of one item on one line, by key, as far as a chunk needs to know them."""

    def __init__(self, db: sqlite3.Connection, family: _Family, on_duplicate: OnDuplicate) -> None:
        self._db = db
        self._place = {"job": family.sequence, "line": family.line, "parent": family.parent}
        self._enumeration = family.enumeration
        self._on_duplicate = on_duplicate
        #: Where no step takes them, there is nothing that they could be left out of.
        self._skips = on_duplicate is OnDuplicate.SKIP and family.state is ItemState.PENDING
        self._known: dict[str, _Known] = {}

    def load(self, keys: Sequence[str]) -> None:
        wanted = self._place | {"keys": rows.dump([key for key in keys if "\0" not in key])}
        found = self._db.execute(_QUERIES.by_keys, wanted).fetchall()
        for key in keys:
            if "\0" in key:  # where SQLite's JSON ends a text
                found += self._db.execute(_QUERIES.by_key, self._place | {"key": key}).fetchall()
        for row in found:
            self._known[row["key"]] = _Known(row["id"], row["enumeration"], row["position"], row["payload_json"])

    def place(self, plan: _Plan, position: int, key: str, payload_json: str) -> None:
        """A new row, one met again from an earlier enumeration, or nothing when this very child is there."""
        free = self._free_key(key, position)
        known = self._known.get(free)
        if known is not None and known.enumeration == self._enumeration:
            return
        if known is not None and known.payload_json == payload_json:
            plan.met.append((position, known.id))
            self._known[free] = _Known(known.id, self._enumeration, position, payload_json)
            return
        if known is not None:
            plan.changed.append(known.id)
        rows = plan.duplicates if free != key and self._skips else plan.new
        rows.append((plan.next_item, position, free, payload_json))
        self._known[free] = _Known(plan.next_item, self._enumeration, position, payload_json)
        plan.next_item += 1

    def _free_key(self, key: str, position: int) -> str:
        while (known := self._known.get(key)) and known.enumeration == self._enumeration and known.position != position:
            if self._on_duplicate is OnDuplicate.FAIL:
                raise _duplicate(key, known.position, position)
            key = f"{key}#{position + 1}"
            if key not in self._known:
                self.load([key])
        return key


def _insert_if_all_are_new(tx: Transaction, family: _Family, given: _New) -> bool:
    """False, and nothing is inserted, when one is there: the index of keys tells it without a look for each key."""
    if len(set(given.keys)) < len(given.keys):
        return False
    tx.execute("SAVEPOINT chunk")
    try:
        _insert(tx, family, family.state, "", given)
    except sqlite3.IntegrityError:
        tx.execute("ROLLBACK TO chunk")
        tx.execute("RELEASE chunk")
        return False
    tx.execute("RELEASE chunk")
    return True


def _plan(db: sqlite3.Connection, definition: PipelineDefinition, family: _Family, given: _New) -> _Plan:
    """By those that are there, and by what the pipeline does with duplicates."""
    siblings = _Siblings(db, family, definition.on_duplicate)
    siblings.load(given.keys)
    plan = _Plan(given.ids[0])
    for position, key, payload in zip(given.positions, given.keys, given.payloads_json, strict=True):
        siblings.place(plan, position, key, payload)
    return plan


def _insert(tx: Transaction, family: _Family, state: ItemState, label: str, new: _New) -> None:
    sequence, line, parent, step, _, enumeration = family
    _INSERT.execute(tx, (sequence, line, parent, step, state.value, label, enumeration), new)


def _replace(
    tx: Transaction, definition: PipelineDefinition, family: _Family, plan: _Plan, now: float, deltas: Deltas
) -> None:
    """Children of an earlier enumeration: those met again stay, those that have changed go."""
    sequence, enumeration = family.sequence, family.enumeration
    changed = tx.execute(_QUERIES.by_ids, {"job": sequence, "items": rows.dump(plan.changed)}).fetchall()
    _remove(tx, sequence, definition, changed, "have changed and start anew", now, deltas)
    tx.executemany(_QUERIES.meet_again, [(enumeration, position, sequence, item) for position, item in plan.met])


def _set_aside(tx: Transaction, family: _Family, duplicates: _New, run: int, now: float, deltas: Deltas) -> None:
    """They are skipped at the step where the line begins."""
    if not duplicates.ids:
        return
    _insert(tx, family, ItemState.SKIPPED, DUPLICATE, duplicates)
    sequence, step = family.sequence, family.step
    records = [(sequence, step, item, DUPLICATE, run, now, now, tx.revision) for item in duplicates.ids]
    tx.executemany(_QUERIES.record_duplicate, records)
    deltas.records[step, Outcome.SKIPPED, DUPLICATE] += len(records)


def _remove(
    tx: Transaction,
    sequence: int,
    definition: PipelineDefinition,
    items: Sequence[sqlite3.Row],
    why: str,
    now: float,
    deltas: Deltas,
) -> None:
    """With all below them."""
    if not items:
        return
    job = tx.execute(_QUERIES.job, (sequence,)).fetchone()
    message = f"{len(items):,} items of an earlier enumeration {why}."
    event = events.append(tx, job["id"], Event("ITEMS_REPLACED", now, "daemon", message=message))
    part = Part(tx, sequence, definition, event, deltas)
    while items:
        below = []
        for start in range(0, len(items), _PART):
            some = items[start : start + _PART]
            ids = rows.dump([row["id"] for row in some])
            below += tx.execute(_QUERIES.below, {"job": sequence, "items": ids}).fetchall()
            part.remove(some)
        items = below


def _keys(children: Sequence[Child], first_position: int) -> list[str]:
    return [child.key or str(number) for number, child in enumerate(children, first_position + 1)]


def _duplicate(key: str, first: int, second: int) -> MilepostError:
    return MilepostError(
        Code.INVALID_ARGUMENT,
        f"Item {second + 1} has the key {key!r}, which item {first + 1} has already.",
        'Make the keys unique, or set on_duplicate to "skip" or "keep".',
    )
