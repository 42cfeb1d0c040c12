"""What a poor terminal is spared, at the last step before it draws: colours, and letters that it does not have."""

# ruff: noqa: RUF001 - letters that look alike are the subject

import unicodedata
from collections.abc import Sequence
from functools import lru_cache

from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter, NoColor

from milepost.common.text import width
from milepost.tui.status import ASCII, Glyphs

#: Of borders, scrollbars, words and signs; what is not here and has no base letter becomes "?".
_LOOKS = {
    "-": "─━╌┄—–▔▀",
    "_": "▁▂▃▄",
    "=": "═",
    "|": "│┃║▏▎▍▌▐▕",
    "+": "┌┐└┘├┤┬┴┼╭╮╯╰┏┓┗┛╔╗╚╝",
    "#": "▅▆▇█▊▉▓▒",
    ":": "░",
    ".": "…·",
    "*": "•",
    "x": "×✗",
    "v": "▼↓✓",
    "^": "▲↑",
    ">": "▶→",
    "<": "◀←",
    '"': "“”",
    "'": "‘’",
}
_PLAIN = {ord(letter): plain for plain, letters in _LOOKS.items() for letter in letters}


class AsciiOnly(LineFilter):
    """Every cell keeps its place: a letter of two cells becomes two."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:  # noqa: ARG002 - as Textual calls it
        return [Segment(ascii_only(text), style, control) for text, style, control in segments]


@lru_cache(maxsize=4096)
def ascii_only(text: str) -> str:
    if text.isascii():
        return text
    return "".join(letter if letter.isascii() else _letter(letter) for letter in text.translate(_PLAIN))


def _letter(letter: str) -> str:
    """As "é" to "e"; in as many cells as it took."""
    base = unicodedata.normalize("NFD", letter)[0]
    return base if base.isascii() else "?" * width(letter)


_ASCII_ONLY, _NO_COLOR = AsciiOnly(), NoColor()


def terminal_filters(found: Sequence[LineFilter], glyphs: Glyphs, *, no_color: bool) -> Sequence[LineFilter]:
    """Textual makes NO_COLOR grey on a ground of its own; whoever sets it wants the terminal's own two colours."""
    found = [_NO_COLOR] if no_color else found
    return [*found, _ASCII_ONLY] if glyphs is ASCII else found
