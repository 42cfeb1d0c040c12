"""The tab of logs: what the pipeline printed, as it comes; searched, or of one item only."""

from collections.abc import Sequence
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Input

from milepost.common.text import safe
from milepost.common.text import width as cells_of
from milepost.tui.parts import Part
from milepost.tui.theme import look_of
from milepost.tui.widgets.cells import Line, plain
from milepost.tui.widgets.click_line import ClickLine
from milepost.tui.widgets.composed import NotedList
from milepost.tui.widgets.lines import LineList
from milepost.tui.widgets.log_lines import LogLines, tag_of

#: Cells that left and right move.
_ASIDE = 20
_FOUND = Style(reverse=True)


class LogList(NotedList):
    """`following`: the newest line stays in sight; moving away from it ends that."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("h,left", "aside(-1)", "To the left", id="logs.left", show=False),
        Binding("l,right", "aside(1)", "To the right", id="logs.right", show=False),
    ]

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - as every widget
        super().__init__(id=id)
        self.lines = LogLines()
        self.following = True
        self.search = ""
        self._offset = 0

    def clear(self) -> None:
        self.lines.clear()
        self._offset = 0
        self.following = True
        self.show_count(0)

    def add(self, lines: Sequence[str]) -> None:
        fell_out = self.lines.add(lines)
        if fell_out and not self.following:
            self.cursor -= fell_out
            self.scroll_to(y=max(0, self.scroll_offset.y - fell_out), animate=False, force=True, immediate=True)
        self.show_lines()

    def show_lines(self) -> None:
        self.show_count(len(self.lines.shown))
        if self.following:
            self.put_cursor(self.count - 1)

    def follow(self, on: bool) -> None:
        self.following = on
        if on and self.count:
            self.put_cursor(self.count - 1)

    def go_to(self, line: int) -> None:
        self._move(line)

    def draw(self, line: int, width: int) -> list[Segment]:
        look, text = look_of(self), self.lines.shown[line]
        seen = text[: (self._offset + width) * 2]
        tag = tag_of(seen)
        head = safe(tag.text) if tag else ""
        body = safe(seen[len(tag.text) if tag else 0 :].expandtabs(4))
        segments = _cut([Segment(head, look.dim), *self._marked(body)], self._offset)
        used = sum(cells_of(segment.text) for segment in segments)
        if used > width or len(seen) < len(text):
            return [*_cut_right(segments, width - 1), Segment("…", look.accent)]
        return segments

    def _marked(self, text: str) -> Line:
        """With what is searched for highlighted."""
        wanted, folded = self.search.casefold(), text.casefold()
        if not wanted or len(folded) != len(text):
            return [Segment(text)]
        segments: Line = []
        start = 0
        while (at := folded.find(wanted, start)) >= 0:
            segments += [Segment(text[start:at]), Segment(text[at : at + len(wanted)], _FOUND)]
            start = at + len(wanted)
        return [*segments, Segment(text[start:])]

    def _move(self, line: int) -> None:
        super()._move(line)
        self.following = self.cursor >= self.count - 1

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        following = (self.following and new_value >= old_value) or new_value >= self.max_scroll_y
        if following != self.following:
            self.following = following
            self.post_message(self.Moved(self, self.cursor))

    def on_resize(self) -> None:
        if self.following:
            self.follow(on=True)

    def action_aside(self, by: int) -> None:
        self._offset = max(0, self._offset + by * _ASIDE)
        self.refresh()


def _cut(segments: Line, cells: int) -> Line:
    """Without so many cells at the left; half of a wide letter becomes a blank."""
    if not cells:
        return segments
    kept: Line = []
    for segment in segments:
        if cells <= 0:
            kept.append(segment)
            continue
        wide = cells_of(segment.text)
        if wide > cells:
            kept.append(segment.split_cells(cells)[1])
        cells -= wide
    return kept


def _cut_right(segments: Line, cells: int) -> Line:
    kept: Line = []
    for segment in segments:
        wide = cells_of(segment.text)
        if wide > cells:
            return [*kept, segment.split_cells(cells)[0]] if cells > 0 else kept
        kept.append(segment)
        cells -= wide
    return kept


class Logs(Widget):
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("F", "follow", "Follow", id="logs.follow", show=False),
        Binding("slash", "search", "Search", id="logs.search", show=False),
        Binding("n", "again(1)", "Next found", id="logs.next", show=False),
        Binding("N", "again(-1)", "Found before", id="logs.before", show=False),
        Binding("i", "only", "Only this item", id="logs.only", show=False),
    ]
    DEFAULT_CSS = """
    Logs {
        & > LogList { height: 1fr; }
        & > Input { display: none; height: 1; border: none; padding: 0 1; background: $surface; }
        &.-searching > Input { display: block; }
    }
    """

    class Began(Message):
        """The log is read, and goes on being read."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - as every widget
        super().__init__(id=id)
        self.head = ClickLine(id="logs-head")
        self.list = LogList(id="logs-list")
        self.input = Input(placeholder="find in the log", id="logs-search", select_on_focus=True)
        #: Whether the stream of lines is open.
        self.is_live = False

    def compose(self) -> ComposeResult:
        yield self.head
        yield self.list
        yield self.input

    # --- what others call ---

    def clear(self, only: str = "") -> None:
        self.list.lines.only = only
        self.list.search = ""
        self.list.clear()
        self.list.say("loading …")
        self.remove_class("-searching")
        self._show_head()

    def begin(self) -> None:
        """The stream is open: it starts with the last lines there are."""
        self.list.clear()
        self.is_live = True
        self.post_message(self.Began())
        self._say_why_empty()
        self._show_head()

    def add(self, lines: Sequence[str]) -> None:
        self.list.add(lines)
        self._say_why_empty()
        self._show_head()

    def end(self) -> None:
        """Nothing more will come for now."""
        self.is_live = False
        self._say_why_empty()
        self._show_head()

    def failed_to_read(self, words: str) -> None:
        self.is_live = False
        self.list.say(words, failed=True)
        self._show_head()

    def show_only(self, key: str) -> None:
        self.list.lines.show_only(key)
        self._say_why_empty()
        self.list.show_lines()
        self._show_head()

    @property
    def focus_target(self) -> Widget:
        return self.list

    def close_search(self) -> bool:
        """False when nothing was searched for and no item chosen."""
        if self.has_class("-searching"):
            self._leave_search()
        elif self.list.search or self.list.lines.only:
            self.list.search = ""
            self.show_only("")
        else:
            return False
        return True

    # --- the line above the list ---

    def _show_head(self) -> None:
        look, lines = look_of(self), self.list.lines
        left = [Part(" live " if self.is_live else " complete ", look.accent if self.is_live else look.dim)]
        if self.is_live:
            follow = "following" if self.list.following else "F follows"
            left.append(Part(f" {follow} ", look.strong if self.list.following else look.dim, "follow"))
        if lines.only:
            left.append(Part(f"  item {plain(lines.only)} x", look.accent, "only"))
        if self.list.search:
            left.append(Part(f"  / {plain(self.list.search)} (n, N) x", look.accent, "search"))
        else:
            left.append(Part("  / search", look.dim, "search"))
        self.head.show(left, [Part(f"{len(lines.shown):,} lines ", look.dim)])

    def _say_why_empty(self) -> None:
        if self.list.lines.only:
            self.list.say("No line of this item is among those that are held. Esc shows all.")
        elif self.is_live:
            self.list.say("Nothing has been printed so far.")
        else:
            self.list.say("The job has printed nothing.")

    # --- keys and mouse ---

    @on(ClickLine.Clicked, "#logs-head")
    def _head_clicked(self, event: ClickLine.Clicked) -> None:
        event.stop()
        match event.target:
            case "follow":
                self.action_follow()
            case "only":
                self.show_only("")
            case "search" if self.list.search:
                self.list.search = ""
                self.list.refresh()
                self._show_head()
            case "search":
                self.action_search()

    def on_line_list_moved(self, event: LineList.Moved) -> None:
        event.stop()
        self._show_head()

    def on_line_list_opened(self, event: LineList.Opened) -> None:
        event.stop()
        self.action_only()

    def action_follow(self) -> None:
        self.list.follow(not self.list.following)
        self._show_head()

    def action_search(self) -> None:
        self.add_class("-searching")
        self.input.focus()

    def action_again(self, by: int) -> None:
        if not self.list.search:
            self.action_search()
            return
        line = self.list.lines.find(self.list.search, self.list.cursor + by, by)
        if line is None:
            self.notify("Not found in the lines that are held.", markup=False)
        else:
            self.list.go_to(line)

    def action_only(self) -> None:
        """Lines of the item whose line the cursor is on; again: all lines."""
        if self.list.lines.only:
            self.show_only("")
            return
        tag = tag_of(self.list.lines.shown[self.list.cursor]) if self.list.count else None
        if tag is None or not tag.key:
            self.notify("This line belongs to no item.", markup=False)
        else:
            self.show_only(tag.key)

    @on(Input.Submitted, "#logs-search")
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.list.search = event.value
        self._leave_search()
        if event.value:
            line = self.list.lines.find(event.value, self.list.cursor, -1 if self.list.following else 1)
            if line is None:
                self.notify("Not found in the lines that are held.", markup=False)
            else:
                self.list.go_to(line)

    @on(Input.Changed, "#logs-search")
    def _changed(self, event: Input.Changed) -> None:
        """Highlighted while it is typed."""
        event.stop()
        self.list.search = event.value
        self.list.refresh()

    def _leave_search(self) -> None:
        self.remove_class("-searching")
        self.list.focus()
        self.list.refresh()
        self._show_head()
