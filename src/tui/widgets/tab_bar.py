"""Title and tabs of a detail, on one line."""

from collections.abc import Sequence
from enum import StrEnum

from rich.style import Style

from milepost.common.text import safe, shorten
from milepost.common.text import width as cells_of
from milepost.tui.parts import Part
from milepost.tui.rows import JobRow
from milepost.tui.theme import Look, look_of
from milepost.tui.widgets.click_line import ClickLine


class Tab(StrEnum):
    ITEMS = "Items"
    STEPS = "Steps"
    LOGS = "Logs"
    METRICS = "Metrics"
    TIMELINE = "Timeline"

    def neighbour(self, by: int) -> "Tab":
        tabs = list(Tab)
        return tabs[(tabs.index(self) + by) % len(tabs)]


#: Target of the cell that closes the detail.
CLOSE = "close"
#: From this width on every tab has its whole name.
WIDE = 66
_ACTIVE = Style(bold=True, reverse=True)


class TabBar(ClickLine):
    """`── ✗ j-8e77 import customers ── [ Items │ Steps │ Logs │ Metrics │ Timeline ] ── x`; targets are the tabs."""

    def show_job(self, row: JobRow | None, tab: Tab) -> None:
        look, width = look_of(self), self.size.width
        tabs = _tabs(tab, look, width)
        close = [Part(" x ", look.dim, CLOSE)]
        room = width - sum(cells_of(part.text) for part in (*tabs, *close))
        title = _title(row, look, room)
        left = room - sum(cells_of(part.text) for part in title)
        self.show([*title, *tabs, Part(look.glyphs.rule * max(0, left), look.dim), *close])


def _title(row: JobRow | None, look: Look, room: int) -> Sequence[Part]:
    rule = look.glyphs.rule
    if row is None:
        return [Part(rule * 2, look.dim)]
    parts = [
        Part(f"{rule} ", look.dim),
        Part(look.glyphs.status[row.status], look.statuses[row.status]),
        Part(f" {safe(row.job.id)} ", look.strong),
    ]
    left = room - sum(cells_of(part.text) for part in parts) - 2
    if left >= 6:
        parts.append(Part(f"{shorten(safe(row.job.name[:500]), left - 1)} ", None))
    used = sum(cells_of(part.text) for part in parts)
    return [*parts, Part(rule * min(2, max(0, room - used)), look.dim)]


def _tabs(active: Tab, look: Look, width: int) -> list[Part]:
    parts = [Part("[", look.dim)]
    for tab in Tab:
        if tab is not Tab.ITEMS:
            parts.append(Part(look.glyphs.separator, look.dim))
        word = tab.value if tab is active or width >= WIDE else tab.value[:1]
        blank = " " if width >= WIDE or tab is active else ""
        parts.append(Part(f"{blank}{word}{blank}", look.accent + _ACTIVE if tab is active else None, tab.value))
    return [*parts, Part("]", look.dim)]
