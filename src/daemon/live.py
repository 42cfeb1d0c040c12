"""What is known of a running job beside the store: it is never durable, and gone when the daemon ends."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from milepost.core.findings import Finding, SilentWorker
from milepost.core.progress import Sample


@dataclass(frozen=True)
class RunningTask:
    """A task that executes now, as the runner last said. `start_time`: Unix seconds.

    `quiet`: seconds without progress, then; `worker`: its process, or 0.
    """

    step: int
    item: int
    key: str
    attempt: int
    start_time: float
    quiet: float = 0.0
    worker: int = 0


@dataclass(frozen=True)
class Live:
    """The runner's last heartbeat. `in_flight`: tasks executing by step position; `tasks`: the oldest, at most 100."""

    in_flight: Mapping[int, int] = field(default_factory=dict)
    tasks: tuple[RunningTask, ...] = ()
    holding: bool = False
    #: When that was, on the monotonic clock; None before the first one.
    heard: float | None = None
    silent_workers: tuple[SilentWorker, ...] = ()
    #: Why what the runner reported cannot be recorded now.
    unrecorded: Finding | None = None
    #: Tasks recorded over the last minute, by step position: for rates.
    samples: Mapping[int, tuple[Sample, ...]] = field(default_factory=dict)


IDLE = Live()
