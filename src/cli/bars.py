"""Progress bars of one job, a row for each step, by rich."""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.text import Text

from milepost.cli.text import state_cell
from milepost.common.text import safe, shorten
from milepost.common.words import counts_words, eta_words, finding_words, reason_words, state_name
from milepost.v1 import job_pb2

_LONGEST_NAME = 24


class Bars:
    def __init__(self) -> None:
        # Text of jobs is never markup: "[...]" in it would be taken for a style.
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=30),
            TextColumn("{task.fields[words]}", markup=False),
            console=Console(highlight=False, markup=False),
        )
        self._rows: dict[str, TaskID] = {}
        self._state = ""
        self._findings: set[str] = set()

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def update(self, job: job_pb2.Job) -> None:
        self._tell_state(job)
        self._tell_findings(job)
        for step in job.steps:
            if step.name not in self._rows:
                name = shorten(safe(step.name), _LONGEST_NAME)
                self._rows[step.name] = self._progress.add_task(name, total=None, start=False, words="")
            self._show_step(self._rows[step.name], step)

    def _tell_state(self, job: job_pb2.Job) -> None:
        if state_name(job) == self._state:
            return
        self._state = state_name(job)
        cell = state_cell(job)
        self._progress.console.print(
            Text.assemble((cell.text, cell.colour), f"  {safe(job.name)} ({job.id})", overflow="fold")
        )

    def _tell_findings(self, job: job_pb2.Job) -> None:
        """Each when it begins."""
        for finding in job.findings:
            if finding.reason.code not in self._findings:
                told = Text.assemble((finding_words(finding), "yellow"), f"  {reason_words(finding.reason)}")
                self._progress.console.print(told, soft_wrap=True)
        self._findings = {finding.reason.code for finding in job.findings}

    def _show_step(self, row: TaskID, step: job_pb2.Step) -> None:
        counts = step.counts
        possible = counts.total - counts.upstream
        known = counts.total_known and possible > 0
        self._progress.update(
            row, completed=counts.processed, total=possible if known else None, words=step_words(step)
        )

    def note(self, text: str) -> None:
        self._progress.console.print(Text(text), soft_wrap=True)


def step_words(step: job_pb2.Step) -> str:
    """As "228 of 313 processed, 11 failed  4.1/s  20s left"."""
    words = counts_words(step.counts)
    if step.counts.in_flight:
        words += f", {step.counts.in_flight} in flight"
    if step.counts.in_flight or step.counts.pending:
        if step.progress.rate:
            words += f"  {step.progress.rate:.1f}/s"
        if step.progress.HasField("eta"):
            words += f"  {eta_words(step.progress)} left"
    return words
