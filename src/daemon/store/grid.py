"""Where the items of a job stand, counted in buckets: what a screen draws as a grid of steps and items."""

import sqlite3
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from milepost.core.definition import PipelineDefinition
from milepost.core.grid import Standing
from milepost.core.model import ItemState
from milepost.daemon.store import rows
from milepost.daemon.store.queries import load

_QUERIES = load("grid")
_STATES = rows.dump(list(ItemState))


class Bucket(NamedTuple):
    """Items of a line with ids from `first` to `last`."""

    first: int
    last: int


@dataclass(frozen=True)
class LineStandings:
    """Of one line: its buckets in order of ids, what stands in each, and the keys of their first items by id."""

    buckets: tuple[Bucket, ...]
    standings: tuple[Standing, ...]
    keys: Mapping[int, str]

    def bucket_of(self, item: int) -> int | None:
        number = bisect_right(self.buckets, item, key=lambda bucket: bucket.first) - 1
        return number if number >= 0 and item <= self.buckets[number].last else None


@dataclass(frozen=True)
class _Group:
    """The items of a line that stand at one step in one state."""

    step: int
    state: str
    first: int
    last: int


def standings(
    db: sqlite3.Connection, job_id: str, definition: PipelineDefinition, columns: int
) -> dict[int, LineStandings]:
    """By line, those without items left out. A line with at most `columns` items has a bucket for each."""
    sequence = rows.sequence_of(db, job_id)
    shapes = rows.dump([(step.position, step.line) for step in definition.steps])
    groups: dict[int, list[_Group]] = defaultdict(list)
    for row in db.execute(_QUERIES.groups, {"job": sequence, "steps": shapes, "states": _STATES}).fetchall():
        groups[row["line"]].append(_Group(row["step"], row["state"], row["first_item"], row["last_item"]))
    return {line: _of_line(db, sequence, line, found, columns) for line, found in groups.items()}


def _of_line(db: sqlite3.Connection, sequence: int, line: int, groups: Sequence[_Group], columns: int) -> LineStandings:
    buckets = _buckets(db, sequence, line, groups, columns)
    places = {
        "job": sequence,
        "line": line,
        "groups": rows.dump([(group.step, group.state) for group in groups]),
        "buckets": rows.dump(buckets),
    }
    found = tuple(
        Standing(row["bucket"], row["step"], ItemState(row["state"]), row["count"], row["first_item"])
        for row in db.execute(_QUERIES.counts, places).fetchall()
        if row["count"]
    )
    return LineStandings(buckets, found, _keys(db, sequence, found))


def _buckets(
    db: sqlite3.Connection, sequence: int, line: int, groups: Sequence[_Group], columns: int
) -> tuple[Bucket, ...]:
    """Of equally many ids, where there are too many items for one each; ids that are gone leave a bucket with fewer."""
    place = {
        "job": sequence,
        "line": line,
        "steps": rows.dump(sorted({group.step for group in groups})),
        "states": _STATES,
        "limit": columns + 1,
    }
    ids = sorted(row["id"] for row in db.execute(_QUERIES.ids, place).fetchall())
    if len(ids) <= columns:
        return tuple(Bucket(item, item) for item in ids)
    first, last = min(group.first for group in groups), max(group.last for group in groups)
    return tuple(_equal_parts(first, last, columns))


def _equal_parts(first: int, last: int, number: int) -> Iterable[Bucket]:
    width = last - first + 1
    for part in range(number):
        yield Bucket(first + width * part // number, first + width * (part + 1) // number - 1)


def _keys(db: sqlite3.Connection, sequence: int, found: Iterable[Standing]) -> dict[int, str]:
    first_items: dict[int, int] = {}
    for standing in found:
        first_items[standing.bucket] = min(standing.first_item, first_items.get(standing.bucket, standing.first_item))
    place = {"job": sequence, "items": rows.dump(list(first_items.values()))}
    return {row["id"]: row["key"] for row in db.execute(_QUERIES.keys, place).fetchall()}
