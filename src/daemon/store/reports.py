"""What runners report becomes durable: the record, the item's place in the line, children, counters, all at once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from milepost.core.definition import PipelineDefinition
from milepost.core.model import Failure, Report, TaskRef
from milepost.daemon.store.store import Transaction


@dataclass(frozen=True)
class Applied:
    """What a batch of reports did, as far as those who hand out tasks must know."""

    #: Reports that no longer counted and changed nothing.
    superseded: tuple[TaskRef, ...] = ()
    #: The root's task was given up: the job cannot go on.
    failed_root: Failure | None = None
    #: Steps that items newly wait at (came from the step before, are new, or were given back).
    released_steps: frozenset[int] = frozenset()
    #: Steps that this batch ended: a gated step may be open now.
    ended_steps: frozenset[int] = frozenset()
    #: Earliest time of the retries that this batch decided on.
    next_due: float | None = None


def apply(
    tx: Transaction,
    job_id: str,
    run_number: int,
    definition: PipelineDefinition,
    reports: Sequence[Report],
    now: float,
    jitter: Callable[[TaskRef], float],
) -> Applied:
    """Applies each report whose item still stands at its step with its epoch; the others change nothing.

    The caller has checked the run's token and that the run is open. `jitter` gives 0..1. A failed attempt that will be
    tried again and a lost execution raise the item's epoch, so that the same report sent again is superseded.
    """
    raise NotImplementedError
