"""Every key that works now, as remapped, what it does, and the id by which the settings remap it."""

from collections.abc import Iterable, Sequence
from typing import ClassVar

from rich.style import Style
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.events import Resize
from textual.screen import ModalScreen
from textual.widgets import Static

from milepost.common.text import shorten, width
from milepost.tui.keys import AREAS, BoundKey, area_of

#: Cells of the column with keys.
_KEYS = 14
#: From this width of the text on the ids stand beside what they are of, and not below it.
_WIDE = 60
_BOLD, _DIM = Style(bold=True), Style(dim=True)


class HelpScreen(ModalScreen[None]):
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("question_mark,escape,q", "dismiss", "Close", id="help.close"),
        Binding("j,down", "scroll(1)", "Down", show=False, id="help.down"),
        Binding("k,up", "scroll(-1)", "Up", show=False, id="help.up"),
        Binding("ctrl+d,pagedown,space", "scroll(10)", "Further down", show=False, id="help.page_down"),
        Binding("ctrl+u,pageup", "scroll(-10)", "Further up", show=False, id="help.page_up"),
    ]
    DEFAULT_CSS = """
    HelpScreen VerticalScroll {
        width: 90; max-width: 95%; height: auto; max-height: 90%;
        background: $surface; border: round $primary; padding: 0 1; scrollbar-size-vertical: 1;
    }
    """

    def __init__(self, keys: Sequence[BoundKey]) -> None:
        super().__init__()
        self._bound = keys

    def compose(self) -> ComposeResult:
        with VerticalScroll(can_focus=False) as scroll:
            scroll.border_title = "Keys"
            scroll.border_subtitle = "esc closes"
            yield Static(id="keys", markup=False)

    def on_resize(self, event: Resize) -> None:
        cells = min(90, event.size.width * 95 // 100) - 5
        self.query_one("#keys", Static).update(Text("\n").join(_lines(self._bound, cells)))

    def action_scroll(self, by: int) -> None:
        self.query_one(VerticalScroll).scroll_relative(y=by, animate=False)


def _lines(keys: Sequence[BoundKey], cells: int) -> Iterable[Text]:
    by_area: dict[str, list[BoundKey]] = {}
    for key in keys:
        by_area.setdefault(area_of(key.id), []).append(key)
    for area in sorted(by_area, key=lambda area: list(AREAS).index(area) if area in AREAS else len(AREAS)):
        yield Text(AREAS.get(area, area.capitalize()), style=_BOLD)
        for key in by_area[area]:
            yield _line(key, cells)
        yield Text()
    yield Text("To change a key, add its id to the settings file:", style=_DIM)
    yield Text('  [keys]\n  "command.pause" = "P"', style=_DIM)


def _line(key: BoundKey, cells: int) -> Text:
    wide = cells >= _WIDE
    pressed = "  ".join(key.keys)
    room = cells - _KEYS - (len(key.id) + 1 if wide else 0) - 2
    does = shorten(key.does, max(4, room))
    line = Text.assemble("  ", (pressed.ljust(_KEYS - 1), _BOLD), " ", does)
    if wide:
        line.append(" " * (room - width(does) + 1))
        line.append(key.id, _DIM)
    elif key.id:
        line.append(f"\n{' ' * (_KEYS + 2)}{key.id}", _DIM)
    return line
