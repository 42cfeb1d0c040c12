"""What is held of a log: the newest lines, those of one item, and where a text is found. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

#: Lines and letters that are held at most.
MOST_LINES = 20_000
MOST_LETTERS = 8_000_000
_SLACK = 1.1
#: As the SDK and command steps write it before each line: `[step key] `.
_TAG = re.compile(r"(\[([^\s\]]+)(?: ([^\n]{1,1100}?))?\] )")
#: As the runner writes it when an attempt has failed.
_FAILED = re.compile(r"(milepost: )(\S+) (.{1,1100}?) failed, attempt [0-9]+: ")


@dataclass(frozen=True)
class Tag:
    """`text`: what stands in the line before its own words."""

    text: str
    step: str
    key: str


def tag_of(line: str) -> Tag | None:
    """Whose line it is; None where nothing says it."""
    match = _TAG.match(line) or _FAILED.match(line)
    return Tag(match[1], match[2], match[3] or "") if match else None


def tagged(key: str) -> str:
    """An item's key as it stands in tags (`sdk.output.printable`)."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in key)


class LogLines:
    """`shown` are the lines of the item that `only` names, or all."""

    def __init__(self) -> None:
        self.only = ""
        self.shown: list[str] = []
        self._all: list[str] = []
        self._letters = 0

    def clear(self) -> None:
        self._all, self.shown, self._letters = [], [], 0

    def add(self, lines: Sequence[str]) -> int:
        """How many of the shown lines fell out at the front."""
        self._all.extend(lines)
        self._letters += sum(map(len, lines))
        self.shown.extend(line for line in lines if self._is_shown(line))
        return self._trim()

    def show_only(self, key: str) -> None:
        """Lines of this item; of all of them when empty."""
        self.only = key
        self.shown = [line for line in self._all if self._is_shown(line)]

    def find(self, text: str, start: int, by: int) -> int | None:
        """The next shown line with this text, whatever the case, from `start` on and round the end."""
        wanted, count = text.casefold(), len(self.shown)
        for step in range(count):
            line = (start + step * by) % count
            if wanted in self.shown[line].casefold():
                return line
        return None

    def _is_shown(self, line: str) -> bool:
        if not self.only:
            return True
        tag = tag_of(line)
        return tag is not None and tag.key == self.only

    def _trim(self) -> int:
        """Drops the oldest in one go, so that it is seldom done."""
        if len(self._all) <= MOST_LINES * _SLACK and self._letters <= MOST_LETTERS * _SLACK:
            return 0
        drop = max(0, len(self._all) - MOST_LINES)
        letters = self._letters - sum(len(line) for line in self._all[:drop])
        while letters > MOST_LETTERS and drop < len(self._all) - 1:
            letters -= len(self._all[drop])
            drop += 1
        gone = sum(self._is_shown(line) for line in self._all[:drop])
        del self._all[:drop]
        del self.shown[:gone]
        self._letters = letters
        return gone
