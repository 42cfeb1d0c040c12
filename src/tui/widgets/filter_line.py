"""Where a person types a filter, and what else narrows or orders the list."""

from collections.abc import Iterator, Sequence

from textual.containers import Horizontal
from textual.content import Content
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Input, Static

from milepost.common.text import safe
from milepost.common.text import width as cells_of
from milepost.tui.parts import Part
from milepost.tui.widgets.click_line import ClickLine

#: The longest that there is room for is shown.
_PLACEHOLDERS = (
    "filter: state = FAILED, failed > 0, age < 1h, a name",
    "filter: failed > 0, age < 1h, a name",
    "filter: failed > 0, a name",
    "filter",
)

_SIGN_CELLS = 3


class FilterLine(Horizontal):
    class Typed(Message):
        """The text is another; it may be half of a filter."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class Entered(Typed):
        """A person means it."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - as every widget
        super().__init__(id=id)
        self._field = Input(id="filter", compact=True, placeholder=_PLACEHOLDERS[0])
        self._listing = ClickLine(id="listing")
        self._listing_cells = 0

    def compose(self) -> Iterator[Widget]:
        yield Static(" / ", id="filter-sign", markup=False)
        yield self._field
        yield self._listing

    def show(self, listing: Sequence[Part]) -> None:
        self._listing_cells = sum(cells_of(part.text) for part in listing)
        self._listing.styles.width = self._listing_cells
        self._listing.show(listing)
        self._fit_placeholder()

    def on_resize(self) -> None:
        self._fit_placeholder()

    def _fit_placeholder(self) -> None:
        # It is as wide as the screen, also before it has been laid out.
        room = self.app.size.width - _SIGN_CELLS - self._listing_cells - 1
        self._field.placeholder = next((text for text in _PLACEHOLDERS if len(text) <= room), "")

    def put_text(self, text: str) -> None:
        """Without a message."""
        with self._field.prevent(Input.Changed):
            self._field.value = text
        self.show_wrong("")

    def show_wrong(self, why: str) -> None:
        """Empty: it is a filter."""
        self._field.set_class(bool(why), "wrong")
        self._field.tooltip = Content(safe(why)) if why else None

    def focus_field(self) -> None:
        self.screen.set_focus(self._field)  # at once: the next letter is for it

    @property
    def is_typed_in(self) -> bool:
        return self.screen.focused is self._field  # its own `has_focus` follows some messages later

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        self.post_message(self.Typed(event.value))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.post_message(self.Entered(event.value))
