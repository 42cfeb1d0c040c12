"""The grid of a job as a message."""

from collections import Counter
from collections.abc import Iterable, Mapping

from milepost.core.definition import PipelineDefinition, StepDefinition
from milepost.core.grid import Cell, step_cells
from milepost.daemon.live import RunningTask
from milepost.daemon.store.grid import LineStandings
from milepost.v1 import job_service_pb2 as pb

_EMPTY = LineStandings((), (), {})


def grid_message(
    definition: PipelineDefinition, lines: Mapping[int, LineStandings], executing: Iterable[RunningTask]
) -> pb.GetJobGridResponse:
    """`executing`: tasks in flight whose items are known."""
    tasks = tuple(executing)
    steps = []
    for step in definition.steps:
        line = lines.get(step.line, _EMPTY)
        cells = step_cells(step.position, line.standings, _in_flight(step, line, tasks))
        steps.append(pb.StepGrid(step=step.name, cells=[_cell(cell, line.keys) for cell in cells]))
    return pb.GetJobGridResponse(steps=steps)


def _in_flight(step: StepDefinition, line: LineStandings, tasks: Iterable[RunningTask]) -> Counter[int]:
    buckets = (line.bucket_of(task.item) for task in tasks if task.step == step.position)
    return Counter(bucket for bucket in buckets if bucket is not None)


def _cell(cell: Cell, keys: Mapping[int, str]) -> pb.GridCell:
    counts = {state.value: count for state, count in cell.counts.items()}
    return pb.GridCell(items=cell.items, first_item_key=keys[cell.first_item], first_item_id=cell.first_item, **counts)
