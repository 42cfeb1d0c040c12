"""Text that may go to a terminal: what comes from jobs made harmless, measured and cut by cells; and times in words."""

import shlex
import unicodedata
from collections.abc import Iterable, Mapping
from functools import lru_cache

#: By state, one cell each and never an emoji: the glyph and the word say it without colour too, the same everywhere.
STATE_GLYPHS: Mapping[str, str] = {
    "SCHEDULED": "◷",
    "QUEUED": "○",
    "RUNNING": "▶",
    "PAUSING": "‖",
    "PAUSED": "‖",
    "CANCELLING": "⊘",
    "CANCELLED": "⊘",
    "WAITING": "?",
    "COMPLETED": "✓",
    "FAILED": "✗",
}
#: By what of a job needs someone, where its state alone does not say it (`core.attention`); one cell each, too.
CONCERN_GLYPHS: Mapping[str, str] = {"STUCK": "!", "FAILED_ITEMS": "△"}


def safe(text: str, keep: str = "") -> str:
    """Text from a job, with control characters (also those that turn the direction of writing) escaped.

    What only chooses between two looks of a letter goes: terminals do not agree how wide the letter is then.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        letter if letter in keep or unicodedata.category(letter) not in _UNSAFE else _escaped(letter)
        for letter in text
        if letter not in _SELECTORS
    )


def shell_words(words: Iterable[str]) -> str:
    """As a person types them: `{}` needs no quotes."""
    return " ".join(word if word == "{}" else shlex.quote(word) for word in words)


def safe_lines(text: str) -> str:
    """As `safe`, for text of several lines."""
    return safe(text, keep="\n\t")


def brief(text: str, letters: int = 300) -> str:
    """As `safe_lines`, and no longer than a dialog or a toast has room for."""
    shown = safe_lines(text[: letters + 1])
    return shown if len(shown) <= letters else f"{shown[: letters - 1]}…"


_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_SELECTORS = "\ufe0e\ufe0f"


def _escaped(letter: str) -> str:
    return letter.encode("unicode_escape").decode("ascii")


def width(text: str) -> int:
    """Cells on a terminal, for text without control characters."""
    if text.isascii():
        return len(text)
    return sum(_cells(letter) for letter in text)


def shorten(text: str, cells: int) -> str:
    """At most so many cells, with … where something was cut; reads no more of the text than it shows."""
    if text.isascii():
        return text if len(text) <= cells else f"{text[: cells - 1]}…"
    used = kept = 0
    for at, letter in enumerate(text, 1):
        used += _cells(letter)
        if used < cells:
            kept = at
        elif used > cells:
            return f"{text[:kept]}…"
    return text


@lru_cache(maxsize=4096)
def _cells(letter: str) -> int:
    from rich.cells import get_character_cell_size  # most text is ASCII

    return get_character_cell_size(letter)


def seconds_words(seconds: float) -> str:
    """As "45s", "12m", "3h 20m", "2d 4h"."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        minutes, rest = divmod(whole, 60)
        return f"{minutes}m {rest}s" if minutes < 10 and rest else f"{minutes}m"
    if whole < 86_400:
        hours, rest = divmod(whole, 3600)
        return f"{hours}h {rest // 60}m" if rest >= 60 else f"{hours}h"
    days, rest = divmod(whole, 86_400)
    return f"{days}d {rest // 3600}h" if rest >= 3600 else f"{days}d"
