"""Which queued jobs start now."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

DEFAULT_QUEUE = "default"


@dataclass(frozen=True)
class Limits:
    """How many jobs may hold a slot: in all, in the queues that are named, and in each other queue."""

    running: int
    by_queue: Mapping[str, int]
    other_queue: int

    def of(self, queue: str) -> int:
        return self.by_queue.get(queue, self.other_queue)


@dataclass(frozen=True)
class Queued:
    """A job that waits for a slot. `queue_time`: since when, so that a resumed job queues up behind."""

    job_id: str
    queue: str
    priority: int
    queue_time: float
    sequence: int
    held: bool = False  # its records are being rewritten
    starting: bool = False  # it was given its slot, though its row does not say so yet


def in_order(queued: Sequence[Queued]) -> list[Queued]:
    """Higher priority first, first come first served within it."""
    return sorted(queued, key=lambda job: (-job.priority, job.queue_time, job.sequence))


def next_to_start(queued: Sequence[Queued], active_queues: Sequence[str], limits: Limits) -> list[str]:
    """Ids of the jobs that get a slot now. `active_queues`: the queue of each job that holds one."""
    active = [*active_queues, *(job.queue for job in queued if job.starting)]
    taken = Counter(active)
    free = limits.running - len(active)
    starting = []
    for job in in_order(queued):
        if free <= 0:
            break
        if job.held or job.starting or taken[job.queue] >= limits.of(job.queue):
            continue
        taken[job.queue] += 1
        free -= 1
        starting.append(job.job_id)
    return starting
