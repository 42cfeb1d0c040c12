"""The tab of steps: a line a step with its counts, how fast it is, and how long it ran, pauses left out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.segment import Segment
from rich.style import Style
from textual.app import ComposeResult
from textual.message import Message
from textual.widget import Widget

from milepost.tui import documents, figures
from milepost.tui.clock import clock_of
from milepost.tui.parts import Part
from milepost.tui.rows import JobRow, never_came
from milepost.tui.status import Status
from milepost.tui.theme import Look, look_of
from milepost.tui.widgets.cells import Line, cell, plain
from milepost.tui.widgets.click_line import ClickLine
from milepost.tui.widgets.composed import NotedList
from milepost.tui.widgets.lines import LineList

if TYPE_CHECKING:
    from milepost.v1.job_pb2 import Step

Drawn = tuple[str, Style | None]


#: The last is the time now, in Unix seconds.
Draw = Callable[["Step", Look, float], Drawn]


@dataclass(frozen=True)
class Column:
    """`from_width`: width of the table from which on it is shown."""

    title: str
    width: int
    draw: Draw
    from_width: int = 0


def _processed(step: "Step", _: Look, __: float) -> Drawn:
    counts = step.counts
    more = "" if counts.total_known else "+"
    return f"{figures.count(counts.processed)}/{figures.count(counts.total - counts.upstream)}{more}", None


def _percent(step: "Step", _: Look, __: float) -> Drawn:
    return figures.percent(step.progress.percent), None


def _number(read: Callable[["Step"], int], status: Status | None = None) -> Draw:
    def draw(step: "Step", look: Look, __: float) -> Drawn:
        number = read(step)
        style = look.statuses[status] if status else None
        return figures.count(number), style if number else look.dim

    return draw


def _rate(step: "Step", look: Look, __: float) -> Drawn:
    return figures.rate(step.progress.rate), None if step.progress.rate > 0 else look.dim


def _eta(step: "Step", _: Look, __: float) -> Drawn:
    progress = step.progress
    return figures.seconds(progress.eta.seconds if progress.HasField("eta") else None), None


def _ran(step: "Step", _: Look, __: float) -> Drawn:
    return figures.seconds(documents.step_seconds(step)), None


def _start(step: "Step", look: Look, now: float) -> Drawn:
    return documents.clock(step.start_time, now), look.dim


COLUMNS = (
    Column("PROCESSED", 12, _processed),
    Column("%", 4, _percent),
    Column("FAIL", 5, _number(lambda step: step.counts.failed, Status.FAILED)),
    Column("SKIP", 5, _number(lambda step: step.counts.skipped), 70),
    Column("NOW", 5, _number(lambda step: step.counts.in_flight, Status.RUNNING), 58),
    Column("LEFT", 6, _number(lambda step: step.counts.pending), 64),
    Column("RATE", 7, _rate, 76),
    Column("ETA", 7, _eta, 50),
    Column("RAN", 7, _ran, 56),
    Column("STARTED", 16, _start, 110),
)
#: Cells of the cursor and the glyph.
_GUTTER = 4


def columns_for(width: int) -> tuple[list[Column], int]:
    """Those that fit, and the cells of the name."""
    shown = [column for column in COLUMNS if width >= column.from_width]
    return shown, max(6, min(40, width - _GUTTER - sum(column.width + 1 for column in shown)))


def step_look(step: "Step", look: Look, *, is_moving: bool) -> tuple[str, Style]:
    glyphs, styles = look.glyphs, look.statuses
    if step.counts.failed:
        return glyphs.failed, styles[Status.FAILED]
    if step.counts.in_flight:
        return glyphs.running, styles[Status.RUNNING]
    if never_came(step):
        return glyphs.bar_empty, look.dim
    if step.HasField("end_time"):
        return glyphs.done, styles[Status.COMPLETED]
    if step.HasField("start_time"):
        status = Status.RUNNING if is_moving else Status.PAUSED
        return glyphs.status[status], styles[status]
    return glyphs.pending, look.dim


class StepTable(NotedList):
    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - as every widget
        super().__init__("no steps yet", id=id)
        self.row: JobRow | None = None

    @property
    def steps(self) -> "Sequence[Step]":
        return self.row.job.steps if self.row else ()

    def draw(self, line: int, width: int) -> list[Segment]:
        assert self.row is not None
        look, step, now = look_of(self), self.steps[line], clock_of(self).now()
        columns, name_cells = columns_for(width)
        glyph, style = step_look(step, look, is_moving=self.row.is_moving)
        segments: Line = [
            Segment(f"{look.glyphs.cursor if self.points_at(line) else ' '} ", look.accent),
            Segment(f"{glyph} ", style),
            cell(plain(step.name), name_cells, look.strong),
        ]
        for column in columns:
            text, text_style = column.draw(step, look, now)
            segments += [Segment(" "), cell(text, column.width, text_style, right=True)]
        return segments


class Steps(Widget):
    """Enter on a step asks for the items that stand there."""

    DEFAULT_CSS = """
    Steps > StepTable { height: 1fr; }
    """

    class Chosen(Message):
        def __init__(self, step: str) -> None:
            super().__init__()
            self.step = step

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - as every widget
        super().__init__(id=id)
        self.head = ClickLine(id="steps-head")
        self.table = StepTable(id="steps-table")

    def compose(self) -> ComposeResult:
        yield self.head
        yield self.table

    def clear(self) -> None:
        self.table.show_count(0)

    def show_job(self, row: JobRow) -> None:
        self.table.row = row
        self.table.show_count(len(row.job.steps))

    @property
    def focus_target(self) -> Widget:
        return self.table

    def on_resize(self) -> None:
        width = self.size.width - 1  # the scrollbar's
        columns, name_cells = columns_for(width)
        titles = [" " * _GUTTER, "STEP".ljust(name_cells)]
        titles += [f" {column.title:>{column.width}}" for column in columns]
        self.head.show([Part("".join(titles), look_of(self).dim)])

    def on_line_list_opened(self, event: LineList.Opened) -> None:
        event.stop()
        self.post_message(self.Chosen(self.table.steps[event.line].name))

    def on_line_list_moved(self, event: LineList.Moved) -> None:
        event.stop()
