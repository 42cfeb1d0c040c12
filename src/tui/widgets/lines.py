"""A list of any length that draws only the lines in sight."""

from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip


class LineList(ScrollView, can_focus=True):
    """Lines with a cursor, for keyboard and mouse. Subclasses draw a line; `show_count` says how many there are."""

    ALLOW_SELECT = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j,down", "move(1)", "Down", id="list.down", show=False),
        Binding("k,up", "move(-1)", "Up", id="list.up", show=False),
        Binding("ctrl+d", "half(1)", "Half a page down", id="list.half_down", show=False),
        Binding("ctrl+u", "half(-1)", "Half a page up", id="list.half_up", show=False),
        Binding("pagedown", "half(2)", "Page down", id="list.page_down", show=False),
        Binding("pageup", "half(-2)", "Page up", id="list.page_up", show=False),
        Binding("g,home", "first", "First line", id="list.first", show=False),
        Binding("G,end", "last", "Last line", id="list.last", show=False),
        Binding("enter", "open", "Open", id="list.open", show=False),
    ]
    COMPONENT_CLASSES: ClassVar[set[str]] = {"line--cursor", "line--hover", "line--dim"}
    DEFAULT_CSS = """
    LineList {
        background: $background;
        scrollbar-size-vertical: 1;
        overflow-x: hidden;
        & > .line--cursor { background: $surface-lighten-1; }
        & > .line--hover { background: $surface; }
        & > .line--dim { color: $text-muted; }
        &:focus > .line--cursor { background: $primary 20%; text-style: bold; }
    }
    """

    class Moved(Message):
        """The cursor stands on another line; `line` is -1 when there is none."""

        def __init__(self, sender: "LineList", line: int) -> None:
            super().__init__()
            self.sender_list = sender
            self.line = line

        @property
        def control(self) -> "LineList":
            return self.sender_list

    class Opened(Moved):
        """A person wants more of the line."""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002 - as every widget
        super().__init__(id=id, classes=classes)
        self.count = 0
        self.cursor = 0
        self._hover = -1
        self._style = Style()
        self._width = 0

    def draw(self, line: int, width: int) -> list[Segment]:
        """The line's segments, without control characters; they are cut or padded to `width` cells."""
        raise NotImplementedError

    # --- what others call ---

    def show_count(self, count: int) -> None:
        """There are so many lines now; every one may have changed."""
        if count != self.count:
            self.count = count
            self.virtual_size = Size(0, count)
        self.cursor = max(0, min(self.cursor, count - 1))
        self.refresh()

    def repaint_line(self, line: int) -> None:
        top = self.scroll_offset.y
        if top <= line < top + self.size.height:
            self.refresh(Region(0, line - top, self.size.width, 1))

    def put_cursor(self, line: int) -> None:
        """Without a message: for whoever knows better where it belongs."""
        line = max(0, min(line, self.count - 1))
        if line != self.cursor:
            self.repaint_line(self.cursor)
            self.cursor = line
            self.repaint_line(line)
        self.show_line(line)

    def show_line(self, line: int) -> None:
        top, height = self.scroll_offset.y, self.size.height
        if height and not top <= line < top + height:
            to = line if line < top else line - height + 1
            # Forced: the scrollbar, without which there is no scrolling, comes with the next layout only.
            self.scroll_to(y=to, animate=False, force=True, immediate=True)

    @property
    def line_width(self) -> int:
        """Cells of a line: `size` counts the scrollbar too."""
        return self.scrollable_content_region.width

    def points_at(self, line: int) -> bool:
        """Whether the sign of the cursor stands there: in the one list that the keys are for."""
        return line == self.cursor and self.has_focus

    # --- drawing ---

    def render_lines(self, crop: Region) -> list[Strip]:
        # Once for all lines: Textual computes it at each access, which was 40 % of the time of a repaint.
        self._style, self._width = self.rich_style, self.line_width
        return super().render_lines(crop)

    def render_line(self, y: int) -> Strip:
        line, width = self.scroll_offset.y + y, self._width
        if line >= self.count:
            return Strip.blank(width, self._style)
        strip = Strip(self.draw(line, width)).adjust_cell_length(width, self._style)
        return strip.apply_style(self._line_style(line))

    def _line_style(self, line: int) -> Style:
        if line == self.cursor:
            # Below the segments' own colours, so that a status keeps its colour under the cursor.
            return self._style + self.get_component_rich_style("line--cursor")
        if line == self._hover:
            return self._style + self.get_component_rich_style("line--hover")
        return self._style

    # --- keys and mouse ---

    def action_move(self, by: int) -> None:
        self._move(self.cursor + by)

    def action_half(self, halves: int) -> None:
        self._move(self.cursor + halves * max(1, self.size.height // 2))

    def action_first(self) -> None:
        self._move(0)

    def action_last(self) -> None:
        self._move(self.count - 1)

    def action_open(self) -> None:
        if self.count:
            self.post_message(self.Opened(self, self.cursor))

    def _move(self, line: int) -> None:
        if self.count:
            self.put_cursor(line)
            self.post_message(self.Moved(self, self.cursor))

    def on_mouse_move(self, event: events.MouseMove) -> None:
        self._hover_over(self.scroll_offset.y + event.y)

    def on_leave(self) -> None:
        self._hover_over(-1)

    def _hover_over(self, line: int) -> None:
        if line != self._hover:
            before, self._hover = self._hover, line
            self.repaint_line(before)
            self.repaint_line(line)

    def on_click(self, event: events.Click) -> None:
        line = self.scroll_offset.y + event.y
        if line < self.count:
            self._move(line)
            if event.chain > 1:
                self.action_open()
