"""How the items of a line stand at each of its steps, in cells: an item, or a bucket of neighbouring ones.

An item that stands at a step has succeeded at the steps of its line before it. At those behind it, it is still to come,
or it never comes because it left the line.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from milepost.core.model import ItemState


class CellState(StrEnum):
    """What an item is at a step."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"
    IN_FLIGHT = "in_flight"
    RETRY = "retry"
    PENDING = "pending"
    UPSTREAM = "upstream"  # left the line in an earlier step


_LEFT_THE_LINE = (ItemState.FAILED, ItemState.SKIPPED)


@dataclass(frozen=True)
class Standing:
    """So many items of a bucket stand at this step in this state; `first_item` is the lowest of their ids."""

    bucket: int
    step: int
    state: ItemState
    count: int
    first_item: int


@dataclass(frozen=True)
class Cell:
    """`counts` add up to the items of the bucket; `first_item` is the lowest of their ids."""

    counts: Mapping[CellState, int]
    first_item: int

    @property
    def items(self) -> int:
        return sum(self.counts.values())


def line_cells(
    steps: Iterable[int], standings: Iterable[Standing], in_flight: Mapping[int, Mapping[int, int]]
) -> dict[int, list[Cell]]:
    """The cells of each step of a line, in order. `in_flight`: by step, its tasks that execute, by bucket.

    `steps` are the line's, in order. What stands behind a step and before it is carried along from one to the next:
    looking at every standing for each of a hundred steps took half a minute.
    """
    at: dict[int, list[Standing]] = defaultdict(list)
    to_come: Counter[int] = Counter()
    first_items: dict[int, int] = {}
    for standing in standings:
        at[standing.step].append(standing)
        to_come[standing.bucket] += standing.count
        first_items[standing.bucket] = min(standing.first_item, first_items.get(standing.bucket, standing.first_item))
    behind: dict[int, Counter[CellState]] = {bucket: Counter() for bucket in sorted(to_come)}
    cells = {}
    for step in steps:
        counts = {bucket: before.copy() for bucket, before in behind.items()}
        for standing in at[step]:
            counts[standing.bucket][CellState(standing.state.lower())] += standing.count
            to_come[standing.bucket] -= standing.count
            left = standing.state in _LEFT_THE_LINE
            behind[standing.bucket][CellState.UPSTREAM if left else CellState.PENDING] += standing.count
        for bucket, gone_on in to_come.items():
            counts[bucket][CellState.SUCCEEDED] += gone_on
        _set_in_flight(counts, in_flight.get(step, {}))
        cells[step] = [Cell(+counts[bucket], first_items[bucket]) for bucket in counts]
    return cells


def _set_in_flight(counts: Mapping[int, Counter[CellState]], in_flight: Mapping[int, int]) -> None:
    for bucket, executing in in_flight.items():
        if bucket in counts:
            # What the runner last said can be older than what is recorded.
            moved = min(executing, counts[bucket][CellState.PENDING])
            counts[bucket][CellState.PENDING] -= moved
            counts[bucket][CellState.IN_FLIGHT] += moved
