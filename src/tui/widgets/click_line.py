"""One line of text in which parts can be clicked."""

from collections.abc import Sequence

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from milepost.common.text import width as cells_of
from milepost.tui.parts import Part


class ClickLine(Widget):
    """Shows parts side by side; those after `right` stand at the right end when there is room."""

    DEFAULT_CSS = """
    ClickLine { height: 1; background: $background; }
    """

    class Clicked(Message):
        def __init__(self, line: "ClickLine", target: str) -> None:
            super().__init__()
            self.line = line
            self.target = target

        @property
        def control(self) -> "ClickLine":
            return self.line

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002 - as every widget
        super().__init__(id=id, classes=classes)
        self._left: Sequence[Part] = ()
        self._right: Sequence[Part] = ()
        self._hover = ""

    def show(self, left: Sequence[Part], right: Sequence[Part] = ()) -> None:
        if (left, right) != (self._left, self._right):
            self._left, self._right = left, right
            self.refresh()

    def render_line(self, y: int) -> Strip:  # noqa: ARG002 - there is only one
        width = self.size.width
        segments = [self._segment(part) for part in self._placed(width)]
        return Strip(segments).adjust_cell_length(width, self.rich_style).apply_style(self.rich_style)

    def _segment(self, part: Part) -> Segment:
        hovered = part.target and part.target == self._hover
        style = (part.style or Style.null()) + Style(underline=True) if hovered else part.style
        return Segment(part.text, style)

    def _placed(self, width: int) -> list[Part]:
        used = sum(cells_of(part.text) for part in (*self._left, *self._right))
        if not self._right or used > width:
            return list(self._left)
        return [*self._left, Part(" " * (width - used)), *self._right]

    def _target_at(self, x: int) -> str:
        start = 0
        for part in self._placed(self.size.width):
            start += cells_of(part.text)
            if x < start:
                return part.target
        return ""

    def on_click(self, event: events.Click) -> None:
        if target := self._target_at(event.x):
            self.post_message(self.Clicked(self, target))

    def on_mouse_move(self, event: events.MouseMove) -> None:
        self._hover_over(self._target_at(event.x))

    def on_leave(self) -> None:
        self._hover_over("")

    def _hover_over(self, target: str) -> None:
        if target != self._hover:
            self._hover = target
            self.refresh()
