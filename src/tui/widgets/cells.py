"""Cells of lines: text cut and padded to a width, and wrapped to several lines."""

from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from rich.text import Text

from milepost.common.text import safe, safe_lines, shorten
from milepost.common.text import width as cells_of

#: Letters of a name or an error that are looked at for one line.
LETTERS = 600
#: Letters of a payload or a traceback that are shown.
LONG_LETTERS = 20_000

Line = list[Segment]

_CONSOLE = Console(width=80, no_color=True)


def plain(text: str) -> str:
    """Text from a job for one line."""
    return safe(text[:LETTERS])


def cell(text: str, cells: int, style: Style | None = None, *, right: bool = False) -> Segment:
    """`text`, which must be safe, in just so many cells."""
    if cells <= 0:
        return Segment("")
    shown = shorten(text, cells)
    blank = " " * (cells - cells_of(shown))
    return Segment(blank + shown if right else shown + blank, style)


def wrapped(text: str, cells: int) -> list[str]:
    """Text of several lines from a job, made safe, in lines of at most so many cells."""
    left = len(text) - LONG_LETTERS
    shown = f"{text[:LONG_LETTERS]}\n… {left:,} more letters" if left > 0 else text
    lines: list[str] = []
    for line in safe_lines(shown).expandtabs(4).split("\n"):
        lines += [part.plain.rstrip() for part in Text(line).wrap(_CONSOLE, max(4, cells))] if line else [""]
    return lines
