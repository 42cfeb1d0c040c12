"""The grid of a job as a message."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

from milepost.core.definition import PipelineDefinition
from milepost.core.grid import Cell, line_cells
from milepost.daemon.live import RunningTask
from milepost.daemon.store.grid import LineStandings
from milepost.v1 import job_service_pb2 as pb

_EMPTY = LineStandings((), (), {})


def grid_message(
    definition: PipelineDefinition, lines: Mapping[int, LineStandings], executing: Iterable[RunningTask]
) -> pb.GetJobGridResponse:
    """`executing`: tasks in flight whose items are known."""
    in_flight: dict[int, Counter[int]] = defaultdict(Counter)
    for task in executing:
        bucket = lines.get(definition.steps[task.step].line, _EMPTY).bucket_of(task.item)
        if bucket is not None:
            in_flight[task.step][bucket] += 1
    cells: dict[int, list[pb.GridCell]] = {}
    for line, found in lines.items():
        steps = [step.position for step in definition.steps if step.line == line]
        of_line = line_cells(steps, found.standings, in_flight)
        cells |= {step: [_cell(cell, found.keys) for cell in of_step] for step, of_step in of_line.items()}
    steps_in_order = [pb.StepGrid(step=step.name, cells=cells.get(step.position)) for step in definition.steps]
    return pb.GetJobGridResponse(steps=steps_in_order)


def _cell(cell: Cell, keys: Mapping[int, str]) -> pb.GridCell:
    counts = {state.value: count for state, count in cell.counts.items()}
    return pb.GridCell(items=cell.items, first_item_key=keys[cell.first_item], first_item_id=cell.first_item, **counts)
