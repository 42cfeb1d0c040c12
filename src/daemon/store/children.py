"""Items that a step gives: by chunks from the enumeration of the input, or with the report of an expanding task."""

from collections.abc import Sequence

from milepost.core.definition import PipelineDefinition
from milepost.core.model import Child, TaskRef
from milepost.daemon.store.store import Transaction


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
    raise NotImplementedError
