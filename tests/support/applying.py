"""Reports of one run, recorded by themselves."""

from collections.abc import Callable, Iterable, Sequence

from milepost.core.definition import PipelineDefinition
from milepost.core.model import Completed, Report, TaskRef
from milepost.daemon.store import reports, rows
from milepost.daemon.store.group_commit import Transaction
from milepost.daemon.store.reports import Applied, Source, Told


def apply(
    tx: Transaction,
    job_id: str,
    run_number: int,
    definition: PipelineDefinition,
    told: Iterable[Report],
    now: float,
    jitter: Callable[[TaskRef], float],
    completed: Sequence[Completed] = (),
) -> Applied:
    source = Source(job_id, rows.sequence_of(tx.connection, job_id), run_number, definition)
    return reports.apply(tx, [Told(source, told, completed)], now, jitter)[0]
