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


def step_cells(step: int, standings: Iterable[Standing], in_flight: Mapping[int, int]) -> list[Cell]:
    """The cells of one step, in order. `standings`: of its line; `in_flight`: its tasks that execute, by bucket."""
    counts: dict[int, Counter[CellState]] = defaultdict(Counter)
    first_items: dict[int, int] = {}
    for standing in standings:
        counts[standing.bucket][_at(step, standing)] += standing.count
        first_items[standing.bucket] = min(standing.first_item, first_items.get(standing.bucket, standing.first_item))
    for bucket, executing in in_flight.items():
        if bucket in counts:
            # What the runner last said can be older than what is recorded.
            moved = min(executing, counts[bucket][CellState.PENDING])
            counts[bucket][CellState.PENDING] -= moved
            counts[bucket][CellState.IN_FLIGHT] += moved
    return [Cell(counts[bucket], first_items[bucket]) for bucket in sorted(counts)]


def _at(step: int, standing: Standing) -> CellState:
    if standing.step == step:
        return CellState(standing.state.lower())
    if standing.step > step:
        return CellState.SUCCEEDED
    return CellState.UPSTREAM if standing.state in _LEFT_THE_LINE else CellState.PENDING
