"""The list of jobs: one line a job, columns as the width allows, and a header that sorts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from milepost.common.text import safe, shorten
from milepost.common.text import width as cells_of
from milepost.tui import figures
from milepost.tui.rows import JobRow, never_came
from milepost.tui.status import Status
from milepost.tui.theme import Look, look_of
from milepost.tui.view import Order, Sort
from milepost.tui.widgets.lines import LineList

if TYPE_CHECKING:
    from milepost.v1.job_pb2 import Step

Cell = tuple[str, Style | None]
Draw = Callable[[JobRow, Look, int], Sequence[Cell]]

#: Cells from which on columns have their full width.
WIDE = 100
#: Letters of a name that are looked at: more never fit on a screen.
NAME_LETTERS = 500


@dataclass(frozen=True)
class Column:
    """`width` and `narrow` (below WIDE) in cells; 0: what the others leave. It is shown `from_width` on."""

    title: str
    width: int
    narrow: int
    sort: Sort | None
    draw: Draw
    from_width: int = 0
    right: bool = False


def _glyph(row: JobRow, look: Look, _: int) -> Sequence[Cell]:
    return ((look.glyphs.status[row.status], _word_style(row, look)),)


def _word(row: JobRow, look: Look, _: int) -> Sequence[Cell]:
    return ((row.status.word, _word_style(row, look)),)


def _word_style(row: JobRow, look: Look) -> Style:
    return look.stuck if row.status is Status.STUCK else look.statuses[row.status]


def _id(row: JobRow, look: Look, _: int) -> Sequence[Cell]:
    return ((safe(row.job.id[:NAME_LETTERS]), look.dim),)


def _name(row: JobRow, _: Look, __: int) -> Sequence[Cell]:
    return ((safe(row.job.name[:NAME_LETTERS]), None),)


def _steps(row: JobRow, look: Look, width: int) -> Sequence[Cell]:
    steps = row.job.steps
    size = -(-len(steps) // width)
    groups = [steps[start : start + size] for start in range(0, len(steps), size)] if size else []
    return [_step_cell(group, row, look) for group in groups]


def _step_cell(group: "Sequence[Step]", row: JobRow, look: Look) -> Cell:
    """One cell for one step or several neighbours; the worst of them wins."""
    glyphs, styles = look.glyphs, look.statuses
    if any(step.counts.failed for step in group):
        return glyphs.failed, styles[Status.FAILED]
    if any(step.counts.in_flight for step in group):
        return glyphs.running, styles[Status.RUNNING]
    if all(never_came(step) for step in group):
        return glyphs.bar_empty, look.dim
    if all(step.HasField("end_time") for step in group):
        return glyphs.done, styles[Status.COMPLETED]
    if row.is_moving and any(step.counts.processed for step in group):
        return glyphs.running, styles[Status.RUNNING]
    return glyphs.pending, look.dim


def _bar(row: JobRow, look: Look, width: int) -> Sequence[Cell]:
    full, empty = figures.bar(row.job.progress.percent / 100, width, look.glyphs)
    return (full, look.statuses[row.status]), (empty, look.dim)


def _percent(row: JobRow, _: Look, __: int) -> Sequence[Cell]:
    return ((figures.percent(row.job.progress.percent), None),)


def _items(row: JobRow, _: Look, __: int) -> Sequence[Cell]:
    counts = row.job.counts
    more = "" if counts.total_known else "+"
    return ((f"{figures.count(counts.processed)}/{figures.count(counts.total - counts.upstream)}{more}", None),)


def _rate(row: JobRow, look: Look, _: int) -> Sequence[Cell]:
    if not row.is_moving:
        return ((figures.UNKNOWN, look.dim),)
    return ((figures.rate(row.job.progress.rate), None),)


def _eta(row: JobRow, _: Look, __: int) -> Sequence[Cell]:
    return ((figures.seconds(row.seconds_left), None),)


def _failed(row: JobRow, look: Look, _: int) -> Sequence[Cell]:
    failed = row.job.counts.failed
    return ((figures.count(failed), look.statuses[Status.FAILED] if failed else look.dim),)


COLUMNS = (
    Column("", 1, 1, None, _glyph),
    Column("STATUS", 10, 10, Sort.STATUS, _word, from_width=WIDE),
    Column("ID", 10, 10, Sort.ID, _id),
    Column("NAME", 0, 0, Sort.NAME, _name),
    Column("STEPS", 8, 5, None, _steps, from_width=60),
    Column("PROGRESS", 12, 8, None, _bar, from_width=72),
    Column("%", 4, 4, Sort.PERCENT, _percent, right=True),
    Column("ITEMS", 11, 9, Sort.ITEMS, _items, from_width=60, right=True),
    Column("RATE", 7, 7, Sort.RATE, _rate, from_width=WIDE, right=True),
    Column("ETA", 6, 6, Sort.ETA, _eta, from_width=60, right=True),
    Column("FAIL", 5, 4, Sort.FAILED, _failed, right=True),
)
#: Cells at the left: the cursor and the mark.
GUTTER = 3


def columns_for(width: int, chosen: Sequence[str] = ()) -> list[tuple[Column, int, int]]:
    """(column, start, width) of what is shown; `chosen`: titles, where a person chose some."""
    wanted = (*chosen, "") if chosen else [column.title for column in COLUMNS]
    shown = [column for column in COLUMNS if width >= column.from_width and column.title in wanted]
    widths = [column.width if width >= WIDE else column.narrow for column in shown]
    rest = max(4, width - GUTTER - sum(widths) - len(shown) + 1)
    placed, start = [], GUTTER
    for column, cells in zip(shown, widths, strict=True):
        placed.append((column, start, cells or rest))
        start += (cells or rest) + 1
    return placed


class JobTable(LineList):
    """Draws the jobs that `row_at` gives by line; `is_marked` tells which a person chose."""

    # As wide with a scrollbar as without, so that columns stay below their titles.
    DEFAULT_CSS = """
    JobTable { scrollbar-gutter: stable; }
    """

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002 - as every widget
        super().__init__(id=id, classes=classes)
        self.row_at: Callable[[int], JobRow | None] = lambda _: None
        self.is_marked: Callable[[str], bool] = lambda _: False
        self.chosen_columns: Sequence[str] = ()

    def draw(self, line: int, width: int) -> list[Segment]:
        row = self.row_at(line)
        if row is None:
            return []
        look = look_of(self)
        marked = self.is_marked(row.job.id)
        segments = [
            Segment(look.glyphs.mark if marked else " ", look.accent),
            Segment(f"{look.glyphs.cursor if self.points_at(line) else ' '} ", look.accent),
        ]
        for column, _, cells in columns_for(width, self.chosen_columns):
            segments += _padded(column.draw(row, look, cells), cells, column.right)
        return segments


def _padded(drawn: Sequence[Cell], cells: int, right: bool) -> list[Segment]:
    """In just so many cells, and a blank: whatever a column shows, the next one stands where its title does."""
    left, segments = cells, []
    for text, style in drawn:
        shown = shorten(text, left) if left else ""
        left -= cells_of(shown)
        segments.append(Segment(shown, style))
    blank = Segment(" " * left)
    return [blank, *segments, Segment(" ")] if right else [*segments, blank, Segment(" ")]


class JobTableHead(Widget):
    """The titles; a click sorts."""

    DEFAULT_CSS = """
    JobTableHead { height: 1; background: $background; padding-right: 1; }
    """

    class Chosen(Message):
        def __init__(self, sort: Sort) -> None:
            super().__init__()
            self.sort = sort

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - as every widget
        super().__init__(id=id)
        self.order = Order()
        self.chosen_columns: Sequence[str] = ()

    def show(self, order: Order) -> None:
        if order != self.order:
            self.order = order
            self.refresh()

    def render_line(self, y: int) -> Strip:  # noqa: ARG002 - there is only one
        look, width = look_of(self), self.size.width
        segments = [Segment(" " * GUTTER)]
        for column, _, cells in columns_for(width, self.chosen_columns):
            is_sorted = column.sort is self.order.sort
            arrow = look.glyphs.descending if self.order.reverse else look.glyphs.ascending
            title = shorten(f"{column.title}{arrow}" if is_sorted else column.title, cells)
            segments += _padded([(title, look.strong if is_sorted else look.dim)], cells, column.right)
        return Strip(segments).adjust_cell_length(width, self.rich_style).apply_style(self.rich_style)

    def on_click(self, event: events.Click) -> None:
        for column, start, cells in columns_for(self.size.width, self.chosen_columns):
            if start <= event.x < start + cells and column.sort is not None:
                self.post_message(self.Chosen(column.sort))
