"""What the CLI prints: colours where a terminal wants them, cells and tables."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from milepost.common.text import CONCERN_GLYPHS, STATE_GLYPHS, seconds_words, shorten, width

if TYPE_CHECKING:
    from milepost.v1 import job_pb2

_STATE_COLOURS = {
    "SCHEDULED": "cyan",
    "QUEUED": "cyan",
    "RUNNING": "blue",
    "PAUSING": "yellow",
    "PAUSED": "yellow",
    "CANCELLING": "magenta",
    "CANCELLED": "magenta",
    "WAITING": "yellow",
    "COMPLETED": "green",
    "FAILED": "red",
}
_ITEM_LOOKS = {"SUCCEEDED": ("✓", "green"), "SKIPPED": ("»", "dim"), "FAILED": ("✗", "red"), "RETRY": ("↻", "yellow")}
_ANSI = {"red": 31, "green": 32, "yellow": 33, "blue": 34, "magenta": 35, "cyan": 36, "bold": 1, "dim": 2}


@dataclass(frozen=True)
class Paint:
    """Colours text for a terminal that wants it; otherwise leaves it as it is."""

    on: bool

    def __call__(self, colour: str, text: str) -> str:
        return f"\x1b[{_ANSI[colour]}m{text}\x1b[0m" if self.on and text and colour else text


PLAIN = Paint(on=False)
_BELOW = "     "
#: Cells of a column that are shown of any width.
_LEAST = 8


@dataclass(frozen=True)
class Cell:
    text: str
    colour: str = ""


def table(heads: Sequence[str], rows: Sequence[Sequence[Cell | str]], paint: Paint, columns: int | None) -> str:
    """Aligned columns; with `columns` (of a terminal) the last one is cut to fit, then the widest of the others."""
    cells = [[cell if isinstance(cell, Cell) else Cell(cell) for cell in row] for row in rows]
    widths = [max([width(head), *(width(row[at].text) for row in cells)]) for at, head in enumerate(heads)]
    if columns is not None:
        widths = _fitting(widths, columns)
    lines = [_line([Cell(head, "dim") for head in heads], widths, paint)]
    lines += [_line(row, widths, paint) for row in cells]
    return "\n".join(lines)


def _fitting(widths: Sequence[int], columns: int) -> list[int]:
    """Nothing is cut below _LEAST cells: what does not fit then is broken by the terminal."""
    fitted = list(widths)
    over = sum(fitted) + 2 * (len(fitted) - 1) - columns
    for at in (len(fitted) - 1, *sorted(range(len(fitted) - 1), key=lambda at: -widths[at])):
        cut = max(0, min(over, fitted[at] - _LEAST))
        fitted[at] -= cut
        over -= cut
    return fitted


def cut_rows(heads: Sequence[str], rows: Sequence[Sequence[Cell | str]], columns: int | None) -> list[bool]:
    """Of each row, whether `table` does not show all of it."""
    if columns is None:
        return [False] * len(rows)
    lines = zip(
        table(heads, rows, PLAIN, None).splitlines()[1:],
        table(heads, rows, PLAIN, columns).splitlines()[1:],
        strict=True,
    )
    return [whole.split() != shown.split() for whole, shown in lines]


def table_with_notes(
    heads: Sequence[str], rows: Sequence[Sequence[Cell | str]], notes: Sequence[str], paint: Paint, columns: int | None
) -> str:
    """The last head is of the notes. They stay whole: where they do not fit beside the rows, each is below its row."""
    beside = [[*row, note] for row, note in zip(rows, notes, strict=True)]
    if columns is None or not any(cut_rows(heads, beside, columns)):
        return table(heads, beside, paint, columns)
    head, *lines = table(heads[:-1], rows, paint, columns).splitlines()
    pairs = zip(lines, notes, strict=True)
    return "\n".join([head, *(f"{line}\n{below(note, columns)}" if note else line for line, note in pairs)])


def _line(row: Sequence[Cell], widths: Sequence[int], paint: Paint) -> str:
    parts = []
    for cell, cells in zip(row, widths, strict=True):
        text = shorten(cell.text, cells)
        padding = " " * (cells - width(text))
        parts.append(paint(cell.colour, text) + padding)
    return "  ".join(parts).rstrip()


def below(text: str, columns: int) -> str:
    """A note on lines of its own below what it belongs to, broken at blanks only: a long word can be copied whole."""
    import textwrap

    return textwrap.fill(
        text,
        columns,
        initial_indent=_BELOW,
        subsequent_indent=_BELOW,
        break_long_words=False,
        break_on_hyphens=False,
    )


def item_state_cell(state: str) -> Cell:
    """`state` is the name of an ItemState."""
    glyph, colour = _ITEM_LOOKS.get(state, ("·", ""))
    return Cell(f"{glyph} {state}", colour)


def state_cell(job: "job_pb2.Job", now: float | None = None) -> Cell:
    """Glyph and word; a completed job with failed items is amber, and so is one that is stuck.

    With `now` (Unix seconds) it says since when it is stuck.
    """
    # Protobuf is there as soon as there is a document.
    from milepost.common.words import concern_of, state_name, stuck_since
    from milepost.core.attention import Concern

    name, needs = state_name(job), concern_of(job)
    if needs is Concern.STUCK:
        since = stuck_since(job)
        age = f" {seconds_words(now - since)}" if now and since else ""
        return Cell(f"{CONCERN_GLYPHS[needs]} {name}, stuck{age}", "yellow")
    if needs is Concern.FAILED_ITEMS:
        return Cell(f"{CONCERN_GLYPHS[needs]} {name}", "yellow")
    return Cell(f"{STATE_GLYPHS.get(name, '·')} {name}", _STATE_COLOURS.get(name, "dim"))
