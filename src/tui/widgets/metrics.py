"""The tab of metrics, and the summary that stands beside the other tabs where there is room."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.segment import Segment
from rich.style import Style
from textual.message import Message
from textual.widget import Widget

from milepost.common.text import width as cells_of
from milepost.tui import documents, figures
from milepost.tui.clock import clock_of
from milepost.tui.rows import JobRow
from milepost.tui.status import Status
from milepost.tui.theme import Look, look_of
from milepost.tui.widgets import plots
from milepost.tui.widgets.cells import Line, cell, plain
from milepost.tui.widgets.composed import ComposedLines, PlainLines
from milepost.tui.widgets.lines import LineList

if TYPE_CHECKING:
    from milepost.v1.job_pb2 import Job
    from milepost.v1.job_service_pb2 import GetJobMetricsResponse

_TOWER_ROWS = 3
_LABEL_CELLS = 10
#: From this width on the number of tasks stands beside how long they took.
_COUNT_WIDTH = 70
#: What the plots take at most: wider ones are no better to read.
_PLOT_CELLS = 100

#: Of the time between two readings that the daemon spends on them, at most one part in so many; seconds at most.
_SHARE = 10.0
_LONGEST_REST = 30.0

Fact = tuple[str, str, Style | None]


def rest_after(took: float) -> float:
    """Seconds until metrics are read again that took so long: the daemon looks at every record of the job."""
    return min(took * _SHARE, _LONGEST_REST)


def facts(row: JobRow, look: Look, now: float) -> list[Fact]:
    """What a person looks for first: (label, text, style)."""
    job = row.job
    found: list[Fact] = [
        ("status", f"{look.glyphs.status[row.status]} {row.status.word}", look.statuses[row.status]),
        ("ran for", _ran_words(job, now), None),
        ("step", _step_words(job), None),
        ("processed", _processed_words(job), None),
        ("failed", *_failed(job, look)),
        ("rate", figures.rate(job.progress.rate) if row.is_moving else figures.UNKNOWN, None),
        ("ETA", figures.seconds(row.seconds_left), None),
        ("retries", _retry_words(job, now), None),
        ("runs", str(job.run_count), None),
        *_queue_fact(job),
        ("usage", "no usage reported", look.dim),
        ("started", documents.clock(job.start_time, now) or figures.UNKNOWN, None),
        ("activity", documents.clock(job.activity_time, now), None),
    ]
    return found


def _failed(job: "Job", look: Look) -> tuple[str, Style | None]:
    """How many items; or the step that the whole job needs."""
    steps = [plain(step.name) for step in job.steps if step.counts.failed]
    words = figures.count(job.counts.failed) if job.counts.failed or not steps else f"step {steps[0]}"
    return words, look.statuses[Status.FAILED] if steps else None


def _queue_fact(job: "Job") -> list[Fact]:
    return [("queue", f"{plain(job.queue)}, place {job.queue_position}", None)] if job.queue_position else []


def _ran_words(job: "Job", now: float) -> str:
    from milepost.common.words import ran_words  # protobuf is there as soon as there is a document

    return ran_words(job, now) or figures.UNKNOWN


def _step_words(job: "Job") -> str:
    step = documents.current_step(job)
    if step is None:
        return "all done" if job.steps else figures.UNKNOWN
    return f"{plain(step.name)} ({step.position + 1} of {len(job.steps)})"


def _processed_words(job: "Job") -> str:
    counts = job.counts
    more = "" if counts.total_known else "+"
    possible = counts.total - counts.upstream
    return f"{counts.processed}/{possible}{more} {figures.percent(job.progress.percent)}"


def _retry_words(job: "Job", now: float) -> str:
    if not job.retry_count:
        return "none waits"
    return f"{job.retry_count}, next {documents.clock(job.next_retry_time, now)}"


class Summary(PlainLines):
    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - as every widget
        super().__init__("", id=id)
        self._row: JobRow | None = None

    def show_job(self, row: JobRow | None) -> None:
        self._row = row
        self.recompose_lines()

    def compose_lines(self, width: int) -> Sequence[Line]:
        if self._row is None:
            return ()
        look = look_of(self)
        return [
            [cell(label, _LABEL_CELLS, look.dim), cell(text, width - _LABEL_CELLS, style)]
            for label, text, style in facts(self._row, look, clock_of(self).now())
        ]


class Metrics(ComposedLines):
    """Enter on a class of failures asks for its items."""

    class ClassChosen(Message):
        def __init__(self, error_class: str) -> None:
            super().__init__()
            self.error_class = error_class

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - as every widget
        super().__init__(id=id)
        self._row: JobRow | None = None
        self._metrics: GetJobMetricsResponse | None = None
        self._outdated = True
        self._class_at: dict[int, str] = {}

    # --- what others call ---

    def clear(self) -> None:
        self._row = self._metrics = None
        self._outdated = True
        self.cursor = 0
        self.show_count(0)

    def show_job(self, row: JobRow) -> None:
        self._row = row
        self.recompose_lines()

    def outdate(self) -> None:
        self._outdated = True

    @property
    def want(self) -> bool:
        return self._outdated

    def show_metrics(self, metrics: "GetJobMetricsResponse") -> None:
        self._metrics, self._outdated = metrics, False
        self.recompose_lines()

    def failed_to_read(self, words: str) -> None:
        self._outdated = False
        self.say(words, failed=True)

    @property
    def focus_target(self) -> Widget:
        return self

    # --- drawing ---

    def compose_lines(self, width: int) -> Sequence[Line]:
        if self._row is None:
            return ()
        look, now = look_of(self), clock_of(self).now()
        lines = _fact_lines(self._row, width, look, now)
        self._class_at = {}
        if self._metrics is None:
            return [*lines, [], [Segment(f"  {self.note}", look.dim)]]
        lines += _throughput(self._metrics, width, look, now)
        lines += _durations(self._metrics, width, look)
        lines += [[], [Segment("Attempts that failed", look.strong)]]
        for failure in self._metrics.failures:
            self._class_at[len(lines)] = failure.error_class
            highest = self._metrics.failures[0].count
            lines.append(_failure_line(failure.error_class, failure.count, highest, width, look))
        if not self._metrics.failures:
            lines.append([Segment("  none", look.dim)])
        return lines

    # --- keys ---

    def on_line_list_opened(self, event: LineList.Opened) -> None:
        event.stop()
        if (error_class := self._class_at.get(event.line)) is not None:
            self.post_message(self.ClassChosen(error_class))

    def on_line_list_moved(self, event: LineList.Moved) -> None:
        event.stop()


def _fact_lines(row: JobRow, width: int, look: Look, now: float) -> list[Line]:
    """Side by side where two or three fit."""
    found = facts(row, look, now)
    across = max(1, min(3, width // 34))
    each = width // across
    lines: list[Line] = []
    for start in range(0, len(found), across):
        line: Line = []
        for label, text, style in found[start : start + across]:
            line += [cell(label, _LABEL_CELLS, look.dim), cell(text, each - _LABEL_CELLS - 1, style), Segment(" ")]
        lines.append(line)
    return lines


def _throughput(metrics: "GetJobMetricsResponse", width: int, look: Look, now: float) -> list[Line]:
    title = [Segment("Throughput", look.strong)]
    if not metrics.throughput:
        return [[], title, [Segment("  no task has been recorded yet", look.dim)]]
    seconds = documents.seconds_of(metrics.throughput_width) or 1.0
    rates = [point.processed / seconds for point in metrics.throughput]
    shown = plots.columns(rates, min(width - 4, _PLOT_CELLS))
    title.append(Segment(f"  tasks recorded over time, at most {figures.rate(max(rates))}", look.dim))
    rows = plots.tower_rows(shown, _TOWER_ROWS, look.glyphs)
    first = documents.clock(metrics.throughput[0].start_time, now)
    last = documents.clock(metrics.throughput[-1].start_time, now)
    axis = f"{first}{last:>{max(0, len(shown) - len(first))}}" if len(shown) > len(first) + len(last) else first
    return [
        [],
        title,
        *([Segment("  "), Segment(row, look.statuses[Status.RUNNING])] for row in rows),
        [Segment(f"  {axis}", look.dim)],
    ]


def _durations(metrics: "GetJobMetricsResponse", width: int, look: Look) -> list[Line]:
    """A line a step: a plot of median, nine tenths and longest, and the three as numbers."""
    title = [Segment("Duration of tasks", look.strong)]
    known = [step for step in metrics.steps if step.executions.count]
    if not known:
        return [[], title, [Segment("  no task has ended yet", look.dim)]]
    names = min(16, max(cells_of(plain(step.step)) for step in known), width // 4)
    numbers = 24 if width < _COUNT_WIDTH else 31
    cells = min(_PLOT_CELLS, width - names - numbers - 5)
    high = max(step.executions.max_seconds for step in known)
    scale = plots.Scale(min(step.executions.p50_seconds for step in known), high, max(1, cells))
    kind = ", logarithmic" if scale.is_logarithmic and cells >= 10 else ""
    title.append(Segment("  median, 90 of 100, longest" + kind, look.dim))
    lines = [[], title]
    for step in known:
        found = step.executions
        line = [Segment("  "), cell(plain(step.step), names), Segment("  ")]
        if cells >= 10:
            line += plots.box(found.p50_seconds, found.p90_seconds, found.max_seconds, scale, look)
        for value in (found.p50_seconds, found.p90_seconds, found.max_seconds):
            line.append(cell(documents.took(value), 8, right=True))
        lines.append(
            [*line, cell(figures.count(found.count), 7, look.dim, right=True) if width >= _COUNT_WIDTH else Segment("")]
        )
    return lines


def _failure_line(error_class: str, count: int, highest: int, width: int, look: Look) -> Line:
    names = min(20, width // 3)
    return [
        Segment("  "),
        cell(plain(error_class) or "no class", names),
        cell(figures.count(count), 7, look.statuses[Status.FAILED], right=True),
        Segment("  "),
        *plots.bar(count, highest, max(1, min(_PLOT_CELLS, width - names - 13)), look.statuses[Status.FAILED], look),
    ]
