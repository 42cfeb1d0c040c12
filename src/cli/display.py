"""Progress of one job while it is followed: bars on a terminal, else a line whenever something meaningful changed."""

import time
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from milepost.cli.context import Context
from milepost.common.text import safe
from milepost.common.words import counts_words, eta_words, reason_words, state_name
from milepost.v1 import job_pb2

#: A moving job is told of at least this often, in seconds.
LONGEST_SILENCE = 60.0
#: Steps of 10 % that follow faster than this are one line, in seconds.
SHORTEST_SILENCE = 1.0


class Display(Protocol):
    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def update(self, job: job_pb2.Job) -> None:
        """The job has changed."""

    def note(self, text: str) -> None:
        """Something about following it, for a person."""


def display_for(context: Context) -> Display:
    if context.on_terminal:
        from milepost.cli.bars import Bars  # rich costs 80 ms

        return Bars()
    return Lines(context, quiet=context.json)


@dataclass(frozen=True)
class Look:
    """What a line told, and when (Unix seconds)."""

    state: str
    tenths: int
    processed: int
    findings: tuple[str, ...]
    time: float


def look_at(job: job_pb2.Job, now: float) -> Look:
    findings = tuple(finding.reason.code for finding in job.findings)
    return Look(state_name(job), int(job.progress.percent // 10), job.counts.processed, findings, now)


def worth_a_line(before: Look | None, now: Look) -> bool:
    """At each change of state or finding, each 10 %, and once a minute while something moves."""
    if before is None or (before.state, before.findings) != (now.state, now.findings):
        return True
    silence = now.time - before.time
    if before.tenths != now.tenths:
        return silence >= SHORTEST_SILENCE
    return silence >= LONGEST_SILENCE and before.processed != now.processed


def progress_line(job: job_pb2.Job) -> str:
    """As "RUNNING  228 of 313 processed, 11 failed, 72 %, 4.1/s, 20s left"."""
    parts = [f"{state_name(job)}  {counts_words(job.counts)}"]
    if job.counts.processed:
        parts.append(f"{job.progress.percent:.0f} %")
    if state_name(job) == "RUNNING" and job.progress.rate:
        parts.append(f"{job.progress.rate:.1f}/s")
        if job.progress.HasField("eta"):
            parts.append(f"{eta_words(job.progress)} left")
    if job.retry_count:
        parts.append(f"{job.retry_count} to be tried again")
    if state_name(job) == "QUEUED" and job.queue_position:
        parts.append(f"place {job.queue_position} in queue {safe(job.queue)}")
    parts += [f"{reason_words(finding.reason)}" for finding in job.findings]
    return ", ".join(parts)


class Lines:
    def __init__(self, context: Context, *, quiet: bool) -> None:
        self._context = context
        self._quiet = quiet
        self._told: dict[str, Look] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def update(self, job: job_pb2.Job) -> None:
        now = look_at(job, time.time())
        if not self._quiet and worth_a_line(self._told.get(job.id), now):
            self._told[job.id] = now
            self._context.out(f"{time.strftime('%H:%M:%S')}  {job.id}  {progress_line(job)}")

    def note(self, text: str) -> None:
        self._context.say(text)
