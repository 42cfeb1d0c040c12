"""Numbers and bars as a list shows them: short, aligned, and the same everywhere."""

from milepost.common.text import seconds_words
from milepost.tui.status import Glyphs

UNKNOWN = "—"


def count(number: int) -> str:
    """As "313", "6.1k", "12.4k", "1.2M": at most five letters."""
    if number < 10_000:
        return str(number)
    for size, unit in ((1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k")):
        if number >= size:
            value = number / size
            return f"{value:.1f}{unit}" if value < 100 else f"{value:.0f}{unit}"
    return str(number)


def rate(per_second: float) -> str:
    """As "41.2/s"; by the minute or hour when that reads better; nothing moves: "—"."""
    if per_second <= 0:
        return UNKNOWN
    if per_second >= 100:
        return f"{per_second:.0f}/s"
    if per_second >= 0.95:
        return f"{per_second:.1f}/s"
    if per_second * 60 >= 0.95:
        return f"{per_second * 60:.1f}/m"
    return f"{per_second * 3600:.1f}/h"


def percent(value: float) -> str:
    """Never 100 % before everything is processed."""
    return f"{min(99, int(value)) if value < 100 else 100}%"


def seconds(value: float | None) -> str:
    return UNKNOWN if value is None else seconds_words(value).replace(" ", "")


def size(number: float) -> str:
    """Bytes as "412 MB"."""
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"


def bar(share: float, cells: int, glyphs: Glyphs) -> tuple[str, str]:
    """The full and the empty part; something done shows at least one full cell, something left one empty."""
    full = round(share * cells)
    if 0 < share < 1:
        full = max(1, min(cells - 1, full))
    full = max(0, min(cells, full))
    return glyphs.bar_full * full, glyphs.bar_empty * (cells - full)


def levels(values: list[float], glyphs: Glyphs) -> str:
    """A sparkline of these, one cell each."""
    highest = max(values, default=0.0)
    if highest <= 0:
        return glyphs.levels[1] * len(values)
    top = len(glyphs.levels) - 1
    return "".join(glyphs.levels[max(1, round(value / highest * top))] for value in values)
