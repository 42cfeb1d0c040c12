"""What an item that stands somewhere on its line is at each step."""

import pytest

from milepost.core.grid import Cell, CellState, Standing, line_cells
from milepost.core.model import ItemState

STEPS = (1, 2, 3)
STEP = 2
BEFORE, BEHIND = 3, 1  # where the item stands, seen from the step


def step_cells(standings: list[Standing], in_flight: dict[int, int]) -> list[Cell]:
    """The cells of STEP."""
    return line_cells(STEPS, standings, {STEP: in_flight})[STEP]


@pytest.mark.parametrize(
    ("stands_at", "state", "seen_as"),
    [
        (BEFORE, ItemState.PENDING, CellState.SUCCEEDED),
        (BEFORE, ItemState.FAILED, CellState.SUCCEEDED),
        (STEP, ItemState.SUCCEEDED, CellState.SUCCEEDED),
        (STEP, ItemState.SKIPPED, CellState.SKIPPED),
        (STEP, ItemState.FAILED, CellState.FAILED),
        (STEP, ItemState.RETRY, CellState.RETRY),
        (STEP, ItemState.PENDING, CellState.PENDING),
        (BEHIND, ItemState.PENDING, CellState.PENDING),
        (BEHIND, ItemState.RETRY, CellState.PENDING),
        (BEHIND, ItemState.SKIPPED, CellState.UPSTREAM),
        (BEHIND, ItemState.FAILED, CellState.UPSTREAM),
    ],
)
def test_an_item_at_a_step(stands_at: int, state: ItemState, seen_as: CellState) -> None:
    (cell,) = step_cells([Standing(0, stands_at, state, 5, 7)], {})
    assert (dict(cell.counts), cell.items, cell.first_item) == ({seen_as: 5}, 5, 7)


def test_a_cell_begins_with_the_first_item_of_its_bucket() -> None:
    standings = [Standing(4, STEP, ItemState.FAILED, 1, 9), Standing(4, BEFORE, ItemState.PENDING, 2, 8)]
    first, second = step_cells([*standings, Standing(1, STEP, ItemState.FAILED, 3, 2)], {})
    assert (first.first_item, first.items) == (2, 3)
    assert (second.first_item, second.items) == (8, 3)


def test_what_executes_is_not_pending() -> None:
    standings = [Standing(0, STEP, ItemState.PENDING, 3, 1), Standing(1, STEP, ItemState.SUCCEEDED, 1, 4)]
    executing, done = step_cells(standings, {0: 2, 1: 1, 9: 1})
    assert (executing.counts[CellState.IN_FLIGHT], executing.counts[CellState.PENDING], executing.items) == (2, 1, 3)
    assert (done.counts[CellState.IN_FLIGHT], done.items) == (0, 1)


def test_at_each_step_every_item_is_counted_once() -> None:
    states = [ItemState.PENDING, ItemState.RETRY, ItemState.SKIPPED, ItemState.FAILED]
    standings = [Standing(bucket, step, state, 1, 1) for bucket in (0, 1) for step in STEPS for state in states]
    found = line_cells(STEPS, standings, {})
    assert {cell.items for cells in found.values() for cell in cells} == {12}
    succeeded = [[cell.counts.get(CellState.SUCCEEDED, 0) for cell in found[step]] for step in STEPS]
    assert succeeded == [[8, 8], [4, 4], [0, 0]]
