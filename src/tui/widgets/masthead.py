"""Above the list: how things stand, what is wrong with the connection, and how many jobs are in which state."""

from collections import deque
from collections.abc import Iterator

from textual.containers import Vertical
from textual.widget import Widget
from textual.widgets import Static

import milepost
from milepost.tui import parts
from milepost.tui.link import Link, version_warning
from milepost.tui.store import JobStore
from milepost.tui.theme import look_of
from milepost.tui.view import JobView
from milepost.tui.widgets.click_line import ClickLine

#: Overall rates that the sparkline shows, one a second.
SPARKS = 8


class Masthead(Vertical):
    """Three lines or two: the banner is there only when it says something."""

    DEFAULT_CSS = "Masthead { height: auto; }"

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - as every widget
        super().__init__(id=id)
        self._header = ClickLine(id="header")
        self._banner = Static(id="banner", markup=False)
        self._text = ""
        self._chips = ClickLine(id="chips")
        self._eta: float | None = None
        self._rates: deque[float] = deque([0.0] * SPARKS, maxlen=SPARKS)

    def compose(self) -> Iterator[Widget]:
        yield self._header
        yield self._banner
        yield self._chips

    def show(self, link: Link, store: JobStore, view: JobView, now: float) -> None:
        look, width = look_of(self), self.app.size.width
        self._header.show(*parts.header(link, store, self._rates, self._eta, look, width))
        self._chips.show(parts.chips(store, view, look, width))
        text = parts.banner(link, now) or version_warning(milepost.__version__, link.daemon_version)
        if text != self._text:
            self._text = text
            self._banner.set_class(bool(text), "shown")
            self._banner.update(text)

    def look_at(self, store: JobStore) -> bool:
        """Once a second, because it goes through all that runs; False when nothing has moved for a while."""
        self._rates.append(store.rate)
        self._eta = store.eta
        return any(self._rates)
