"""The items of a job, one line each. Only those near the lines in sight are held."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.segment import Segment
from rich.style import Style

from milepost.common.text import width as cells_of
from milepost.core.model import ItemState
from milepost.tui import documents
from milepost.tui.clock import SEEN_AFTER, clock_of
from milepost.tui.status import Status
from milepost.tui.theme import Look, look_of
from milepost.tui.widgets.cells import Line, cell, plain
from milepost.tui.widgets.composed import NotedList, Wanted
from milepost.tui.widgets.item_looks import item_glyph, item_style
from milepost.tui.windows import PAGE, ItemFilter, Window

if TYPE_CHECKING:
    from milepost.v1.job_pb2 import Item, Job

_KEY_CELLS = 32


@dataclass(frozen=True)
class WindowWanted:
    """Lines of the list that are to be read; `age` goes back with the answer."""

    filter: ItemFilter
    skip: int
    limit: int
    age: int


class ItemList(NotedList):
    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - as every widget
        super().__init__(id=id)
        self.filter = ItemFilter()
        self._window: Window[Item] = Window()
        self._in_flight: frozenset[int] = frozenset()
        self._longest_key = 8
        self._root_words = ""
        self._slid = -SEEN_AFTER

    # --- what others call ---

    def clear(self, wanted: ItemFilter) -> None:
        """Another list: nothing of it is known."""
        self.filter = wanted
        self._window = Window()
        self._longest_key = 8
        self.cursor = 0
        self.say("loading …")
        self.scroll_to(y=0, animate=False, force=True, immediate=True)
        self.show_count(0)

    @property
    def window(self) -> "Window[Item]":
        return self._window

    def recall(self, window: "Window[Item] | None") -> None:
        """As it was read some time ago: it is to be read again."""
        if window is not None:
            self._window = window.outdated()
            held = [item for line in window.held if (item := window.at(line))]
            self._longest_key = max([self._longest_key, *(cells_of(name_of(item)) for item in held)])
            self.show_count(window.total or 0)

    def outdate(self) -> None:
        self._window.outdate()

    def show_job(self, job: "Job") -> None:
        in_flight = frozenset(task.item_id for task in job.in_flight)
        words = "" if job.counts.total_known else why_no_items(job)
        changed = in_flight ^ self._in_flight
        if words != self._root_words:
            changed |= {0}
        self._in_flight, self._root_words = in_flight, words
        first, last = self.sight
        for line in range(first, last + 1) if changed else ():
            item = self._window.at(line)
            if item is not None and item.id in changed:
                self.repaint_line(line)

    @property
    def want(self) -> WindowWanted | None:
        line = self._window.missing(*self.sight)
        if line is None:
            return None
        return WindowWanted(self.filter, line, PAGE - line % PAGE, self._window.age)

    def show_window(self, wanted: WindowWanted, items: "list[Item]", total: int) -> None:
        """The answer to `wanted`; one that comes after the filter was changed is for nobody."""
        if wanted.filter == self.filter:
            before = self.item
            self._window.put(wanted.skip, items, total, wanted.age)
            self._longest_key = max([self._longest_key, *(cells_of(name_of(item)) for item in items)])
            self.show_count(self._window.total or 0)
            if before and self.item and before.id != self.item.id:
                self._slid = clock_of(self).monotonic()

    @property
    def slid_unseen(self) -> bool:
        """Whether the item came under the cursor by itself, faster than a person can see it."""
        return clock_of(self).monotonic() - self._slid < SEEN_AFTER

    def _move(self, line: int) -> None:
        self._slid = -SEEN_AFTER
        super()._move(line)

    @property
    def total(self) -> int | None:
        return self._window.total

    @property
    def held(self) -> Collection[int]:
        """Lines whose items are known."""
        return self._window.held

    @property
    def item(self) -> "Item | None":
        """The one at the cursor, when it is known."""
        return self._window.at(self.cursor) if self.count else None

    def jump(self, line: int) -> None:
        self._move(line)
        self.post_message(Wanted(self))

    # --- drawing ---

    def draw(self, line: int, width: int) -> list[Segment]:
        look = look_of(self)
        gutter = Segment(f"{look.glyphs.cursor if self.points_at(line) else ' '} ", look.accent)
        item = self._window.at(line)
        if item is None:
            return [gutter, Segment("…", look.dim)]
        state = documents.item_state(item)
        glyph, word, style = item_glyph(state, look.glyphs), state.lower(), item_style(state, look)
        if item.id in self._in_flight and state in (ItemState.PENDING, ItemState.RETRY):
            glyph, word, style = look.glyphs.running, "running", look.statuses[Status.RUNNING]
        columns = [
            gutter,
            Segment(f"{glyph} ", style),
            cell(name_of(item), min(self._longest_key, _KEY_CELLS, width // 3)),
            Segment(" "),
        ]
        if width >= 80:
            columns += [cell(word, 10, style), cell(plain(item.step), 13, look.dim), Segment(" ")]
        if width >= 60:
            columns += [cell(str(item.attempt or ""), 3, look.dim, right=True), Segment("  ")]
        left = width - sum(cells_of(segment.text) for segment in columns)
        if not item.id and self._root_words and not item.HasField("failure"):
            return [*columns, cell(self._root_words, left, look.dim)]
        return [*columns, *_tail(item, state, left, look, clock_of(self).now())]

    # --- keys and mouse ---

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        self._want_what_is_in_sight()

    def on_resize(self) -> None:
        self._want_what_is_in_sight()

    def _want_what_is_in_sight(self) -> None:
        if self.want is not None:
            self.post_message(Wanted(self))


def name_of(item: "Item") -> str:
    """The first item is the job itself: it goes through the steps that take no items."""
    return plain(item.key) if item.key or item.id else "(the job)"


def why_no_items(job: "Job") -> str:
    if not any(step.counts.in_flight or step.HasField("start_time") for step in job.steps):
        return "no items yet: the job has not started"
    return "no items yet: the input is being read"


def _tail(item: "Item", state: ItemState, cells: int, look: Look, now: float) -> Line:
    """What went wrong, or the pipeline's own word for how it went."""
    segments: Line = []
    if state is ItemState.RETRY and item.HasField("next_attempt_time"):
        text = f"again at {documents.clock(item.next_attempt_time, now)}  "
        segments.append(cell(text, min(cells, len(text)), look.amber))
        cells -= len(text)
    if item.HasField("failure"):
        style: Style | None = None if state is ItemState.FAILED else look.dim
        return [*segments, cell(plain(documents.failure_line(item.failure)), cells, style)]
    return [*segments, cell(plain(item.label), cells, look.dim)]
