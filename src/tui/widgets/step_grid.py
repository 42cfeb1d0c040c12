"""How the items stand at each step: a line a step, a cell for an item or for several neighbours."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message

from milepost.common.text import width as cells_of
from milepost.tui import figures
from milepost.tui.parts import Part
from milepost.tui.status import Status
from milepost.tui.theme import Look, look_of
from milepost.tui.widgets.cells import Line, cell, plain
from milepost.tui.widgets.composed import NotedList, Wanted
from milepost.tui.widgets.steps import step_look

if TYPE_CHECKING:
    from milepost.v1.job_pb2 import Job, Step
    from milepost.v1.job_service_pb2 import GetJobGridResponse, GridCell

#: The daemon gives no more cells.
MOST_CELLS = 400
_NAME_CELLS = 16
_CURSOR = Style(reverse=True)


class StepGrid(NotedList):
    """Left and right choose a cell, Enter or a click asks for the items of it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("h,left", "column(-1)", "Cell to the left", id="grid.left", show=False),
        Binding("l,right", "column(1)", "Cell to the right", id="grid.right", show=False),
    ]

    class CellChosen(Message):
        """`failed`: whether one of its items did. `item_id` is its first item."""

        def __init__(self, item_id: int, *, failed: bool) -> None:
            super().__init__()
            self.item_id = item_id
            self.failed = failed

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - as every widget
        super().__init__("no steps yet", id=id)
        self._job: Job | None = None
        self._grid: GetJobGridResponse | None = None
        self._asked_for = 0
        self._outdated = True
        self._column = 0

    # --- what others call ---

    def clear(self) -> None:
        self._job = self._grid = None
        self._outdated = True
        self._column = 0
        self.show_count(0)

    @property
    def grid(self) -> "GetJobGridResponse | None":
        return self._grid

    def recall(self, grid: "GetJobGridResponse | None") -> None:
        """As it was read some time ago: it is to be read again."""
        self._grid = grid
        self.refresh()

    def show_job(self, job: "Job") -> None:
        before, self._job = self._job, job
        if before is None or len(before.steps) != len(job.steps):
            self.show_count(len(job.steps))
            return
        for line, (old, new) in enumerate(zip(before.steps, job.steps, strict=True)):
            if old.counts != new.counts:
                self.repaint_line(line)

    def outdate(self) -> None:
        self._outdated = True

    @property
    def want(self) -> int | None:
        """Columns of the grid that is to be read; None while what is shown is right."""
        columns = self._cells_wide
        if columns <= 0 or not self._job or (not self._outdated and columns == self._asked_for):
            return None
        return columns

    def show_grid(self, columns: int, grid: "GetJobGridResponse") -> None:
        self._grid, self._asked_for, self._outdated = grid, columns, False
        self.refresh()

    def legend(self, width: int) -> list[Part]:
        """What the cells mean; while a person is in the grid, what the chosen cell stands for."""
        look, chosen = look_of(self), self._chosen_cell
        if self.has_focus and chosen is not None:
            return [Part(f" {_cell_words(chosen)}", look.dim)]
        if self._grid is None:
            return [Part(" how much of each step is processed", look.dim)]
        items = _items_of_cells(self._grid)
        for form in _LEGEND_FORMS:
            parts = _legend(items, form, look)
            if sum(cells_of(part.text) for part in parts) <= width:
                break
        return parts

    def failed_to_read(self) -> None:
        """It is not asked for again before it is outdated once more."""
        self._asked_for, self._outdated = self._cells_wide, False

    # --- drawing ---

    def draw(self, line: int, width: int) -> list[Segment]:
        look = look_of(self)
        assert self._job is not None
        step = self._job.steps[line]
        chosen = self.points_at(line)
        return [
            Segment(look.glyphs.cursor if chosen else " ", look.accent),
            cell(plain(step.name), self._name_cells, look.strong),
            Segment(" "),
            *self._cells(line, chosen, look),
            Segment(" "),
            *_counts(step, look, _counts_cells(width)),
        ]

    def _cells(self, line: int, chosen: bool, look: Look) -> Line:
        cells, wide = self._cells_at(line), self._cells_wide
        if self._grid is None:
            return self._bar(line, wide, look)
        segments: Line = []
        for at, one in enumerate(cells[:wide]):
            glyph, style = cell_look(one, look)
            segments.append(Segment(glyph, style + _CURSOR if chosen and at == self._column else style))
        return [*segments, Segment(" " * (wide - len(segments)))]

    def _bar(self, line: int, wide: int, look: Look) -> Line:
        """What is known without the grid: how much of the step is processed."""
        assert self._job is not None
        step = self._job.steps[line]
        _, style = step_look(step, look, is_moving=True)
        full, empty = figures.bar(step.progress.percent / 100, max(0, wide), look.glyphs)
        return [Segment(full, style), Segment(empty, look.dim)]

    def _cells_at(self, line: int) -> "list[GridCell]":
        return list(self._grid.steps[line].cells) if self._grid and line < len(self._grid.steps) else []

    @property
    def _name_cells(self) -> int:
        longest = max((cells_of(plain(step.name)) for step in self._job.steps), default=0) if self._job else 0
        return min(longest, _NAME_CELLS, max(4, self.line_width // 4))

    @property
    def _cells_wide(self) -> int:
        return min(MOST_CELLS, self.line_width - self._name_cells - _counts_cells(self.line_width) - 3)

    # --- keys and mouse ---

    def on_resize(self) -> None:
        self.post_message(Wanted(self))

    def action_column(self, by: int) -> None:
        cells = self._cells_at(self.cursor)
        self._column = max(0, min(self._column + by, len(cells) - 1))
        self.repaint_line(self.cursor)
        self.post_message(self.Moved(self, self.cursor))

    def action_open(self) -> None:
        if self._chosen_cell is not None:
            self._choose(self._chosen_cell)

    @property
    def _chosen_cell(self) -> "GridCell | None":
        cells = self._cells_at(self.cursor)
        return cells[min(self._column, len(cells) - 1)] if cells else None

    def on_click(self, event: events.Click) -> None:
        line, at = self.scroll_offset.y + event.y, event.x - self._name_cells - 2
        cells = self._cells_at(line)
        if 0 <= at < len(cells):
            self._column = at
            self._choose(cells[at])

    def _choose(self, one: "GridCell") -> None:
        if one.first_item_key:
            self.post_message(self.CellChosen(one.first_item_id, failed=one.failed > 0))


@dataclass(frozen=True)
class _LegendForm:
    """How it begins where each cell is one item, and where not; and what is between a sign and its word."""

    one: str
    several: str
    between: str


_LEGEND_FORMS = (
    _LegendForm(" a cell is an item: ", " a cell is {} items, the worst of them shows: ", " "),
    _LegendForm(" cell = item ", " cell = worst of {} items ", ""),
    _LegendForm(" cell = item ", " cell = {} items ", ""),
)


def _items_of_cells(grid: "GetJobGridResponse") -> str:
    """How many items a cell stands for, as "1-2"; empty where each is one. The only cell of a step is the job's own."""
    most = max((one.items for step in grid.steps for one in step.cells), default=0)
    least = min((one.items for step in grid.steps if len(step.cells) > 1 for one in step.cells), default=most)
    if most <= 1:
        return ""
    fewest, largest = figures.count(least), figures.count(most)
    return largest if fewest == largest else f"{fewest}-{largest}"


def _legend(items: str, form: _LegendForm, look: Look) -> list[Part]:
    """From the worst on, as `cell_look` chooses."""
    glyphs, styles = look.glyphs, look.statuses
    signs = (
        (glyphs.failed, "failed", styles[Status.FAILED]),
        (glyphs.retry, "retry", styles[Status.WAITING]),
        (glyphs.running, "running", styles[Status.RUNNING]),
        (glyphs.pending, "pending", look.dim),
        (glyphs.done, "done", styles[Status.COMPLETED]),
        (glyphs.skipped, "skipped", look.dim),
        (glyphs.bar_empty, "gone", look.dim),
    )
    parts = [Part(form.several.format(items) if items else form.one, look.dim)]
    for glyph, word, style in signs:
        parts += [Part(f" {glyph}", style), Part(f"{form.between}{word}", look.dim)]
    return parts


def _cell_words(one: "GridCell") -> str:
    """As "6 items from row-12 on: 1 failed, 5 done; Enter goes there"."""
    counts = (
        (one.failed, "failed"),
        (one.retry, "to be tried again"),
        (one.in_flight, "running"),
        (one.pending, "pending"),
        (one.succeeded, "done"),
        (one.skipped, "skipped"),
        (one.upstream, "gone in an earlier step"),
    )
    key, several = plain(one.first_item_key), one.items > 1
    found = ", ".join(f"{figures.count(number)} {word}" if several else word for number, word in counts if number)
    which = f"{figures.count(one.items)} items from {key} on" if several else key or "the job"
    return f"{which}: {found}{'; Enter goes there' if key else ''}"


def cell_look(one: "GridCell", look: Look) -> tuple[str, Style]:
    """The worst of its states."""
    glyphs, styles = look.glyphs, look.statuses
    if one.failed:
        return glyphs.failed, styles[Status.FAILED]
    if one.retry:
        return glyphs.retry, styles[Status.WAITING]
    if one.in_flight:
        return glyphs.running, styles[Status.RUNNING]
    if one.pending:
        return glyphs.pending, styles[Status.RUNNING] if one.pending < one.items - one.upstream else look.dim
    if one.succeeded:
        return glyphs.done, styles[Status.COMPLETED]
    if one.skipped:
        return glyphs.skipped, look.dim
    return glyphs.bar_empty, look.dim


def _counts_cells(width: int) -> int:
    return 22 if width >= 70 else 12


def _counts(step: "Step", look: Look, cells: int) -> Line:
    """As "6100/10000 ✗41"."""
    counts = step.counts
    failed = f" {look.glyphs.failed}{figures.count(counts.failed)}" if counts.failed else ""
    possible, more = counts.total - counts.upstream, "" if counts.total_known else "+"
    whole = f"{counts.processed}/{possible}{more}"
    room = cells - cells_of(failed)
    short = f"{figures.count(counts.processed)}/{figures.count(possible)}{more}"
    shown = next((text for text in (whole, short, figures.count(counts.processed)) if len(text) <= room), "")
    return [Segment(shown), cell(failed, cells - len(shown), look.statuses[Status.FAILED])]
