"""Which queued jobs start now, and what the others wait for."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

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


def places(queued: Sequence[Queued]) -> dict[str, int]:
    """Place of each job within its queue, from 1."""
    ahead: Counter[str] = Counter()
    result = {}
    for job in in_order(queued):
        ahead[job.queue] += 1
        result[job.job_id] = ahead[job.queue]
    return result


def wait_text(job_id: str, queued: Sequence[Queued], active_queues: Sequence[str], limits: Limits) -> str:
    """Where it waits, for which limit, and how to raise that; empty when it has a slot now, or is not queued."""
    # That its records are being rewritten is soon over and no limit.
    queued = [replace(job, held=False) if job.job_id == job_id else job for job in queued]
    waiting = next((job for job in queued if job.job_id == job_id), None)
    starting = next_to_start(queued, active_queues, limits)
    if waiting is None or job_id in starting:
        return ""
    of_queue = [*active_queues, *(job.queue for job in queued if job.starting or job.job_id in starting)]
    limit = limits.of(waiting.queue)
    if of_queue.count(waiting.queue) >= limit:
        who, name = f"queue {waiting.queue} runs {_jobs(limit)}", "queues"
        by_queue = {**limits.by_queue, waiting.queue: limit + 1}
        value = ",".join(f"{queue}={number}" for queue, number in by_queue.items())
    else:
        limit = limits.running
        who, name, value = f"the daemon runs {_jobs(limit)}", "max_running_jobs", str(limit + 1)
    remedy = (
        f'To run more, write {name} = "{value}" into the settings file (milepost config tells which) or set '
        f"MILEPOST_{name.upper()}={value} for the daemon, and restart it (milepost daemon restart)"
    )
    return f"queued at place {places(queued)[job_id]}: {who} at a time. {remedy}"


def _jobs(number: int) -> str:
    return "1 job" if number == 1 else f"{number} jobs"
