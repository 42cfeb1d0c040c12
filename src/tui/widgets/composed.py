"""Lists of the detail: they say why they are empty, and some are composed as a whole for the width there is."""

from collections.abc import Sequence

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from milepost.tui.status import Status
from milepost.tui.theme import look_of
from milepost.tui.widgets.cells import Line, wrapped
from milepost.tui.widgets.lines import LineList


class Wanted(Message):
    """Something is in sight, or was asked for, that has to be read first; the pane's `want` says what."""

    def __init__(self, pane: Widget) -> None:
        super().__init__()
        self.pane = pane

    @property
    def control(self) -> Widget:
        return self.pane


class NotedList(LineList):
    """Instead of lines it shows a note, so that it is never blank."""

    # The scrollbar has its column always, so that lines are as wide with it as without.
    DEFAULT_CSS = """
    NotedList { scrollbar-gutter: stable; }
    """

    def __init__(self, note: str = "loading …", *, id: str | None = None) -> None:  # noqa: A002 - as every widget
        super().__init__(id=id)
        self._note = note
        self._note_failed = False

    def say(self, note: str, *, failed: bool = False) -> None:
        """What is shown while there are no lines."""
        if (note, failed) != (self._note, self._note_failed):
            self._note, self._note_failed = note, failed
            if not self.count:
                self.refresh()

    @property
    def note(self) -> str:
        return self._note

    def render_line(self, y: int) -> Strip:
        return super().render_line(y) if self.count else self._note_line(y)

    def _note_line(self, y: int) -> Strip:
        look, width = look_of(self), self._width
        lines = wrapped(self._note, max(4, width - 4))
        text = f"  {lines[y]}" if y < len(lines) else ""
        style = look.statuses[Status.FAILED] if self._note_failed else look.dim
        return Strip([Segment(text, style)]).adjust_cell_length(width, self._style).apply_style(self._style)

    @property
    def sight(self) -> tuple[int, int]:
        """First and last line that can be seen."""
        top = self.scroll_offset.y
        return top, top + max(1, self.size.height) - 1


class ComposedLines(NotedList):
    """All lines are made at once by `compose_lines`; anew for another width, and when `recompose_lines` is called."""

    def __init__(self, note: str = "loading …", *, id: str | None = None) -> None:  # noqa: A002 - as every widget
        super().__init__(note, id=id)
        self._lines: Sequence[Line] = ()
        self._composed_for = -1

    def compose_lines(self, width: int) -> Sequence[Line]:
        raise NotImplementedError

    def recompose_lines(self) -> None:
        width = self.line_width
        if not width:
            return
        before, self._lines = self._lines, self.compose_lines(width)
        if width != self._composed_for or len(before) != len(self._lines):
            self._composed_for = width
            self.show_count(len(self._lines))
            return
        for line, (old, new) in enumerate(zip(before, self._lines, strict=True)):
            if old != new:
                self.repaint_line(line)

    def on_resize(self, event: events.Resize) -> None:  # noqa: ARG002 - as every handler
        if self.line_width != self._composed_for:
            self.recompose_lines()

    def draw(self, line: int, width: int) -> list[Segment]:  # noqa: ARG002 - composed for this width
        return self._lines[line] if line < len(self._lines) else []


class PlainLines(ComposedLines, can_focus=False):
    """Lines without a cursor; what does not fit below is not to be seen."""

    DEFAULT_CSS = """
    PlainLines { scrollbar-gutter: auto; overflow-y: hidden; }
    """

    def _line_style(self, line: int) -> Style:  # noqa: ARG002 - all alike
        return self._style
