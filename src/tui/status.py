"""What a job looks like at a glance: its state, or what was noticed about it, as glyph, word and style."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from milepost.common.text import CONCERN_GLYPHS, STATE_GLYPHS


class Status(StrEnum):
    """The state of a job, or what of it needs someone (`core.attention`); in order of attention."""

    STUCK = "STUCK"
    WAITING = "WAITING"
    FAILED = "FAILED"
    FAILED_ITEMS = "FAILED_ITEMS"
    RUNNING = "RUNNING"
    PAUSING = "PAUSING"
    CANCELLING = "CANCELLING"
    PAUSED = "PAUSED"
    QUEUED = "QUEUED"
    SCHEDULED = "SCHEDULED"
    CANCELLED = "CANCELLED"
    COMPLETED = "COMPLETED"

    @property
    def word(self) -> str:
        return "completed" if self is Status.FAILED_ITEMS else self.value.lower()


RANKS: Mapping[Status, int] = {status: rank for rank, status in enumerate(Status)}

#: Statuses that a person should look at: the concerns of `core.attention`.
ATTENTION = (Status.STUCK, Status.WAITING, Status.FAILED, Status.FAILED_ITEMS)


@dataclass(frozen=True, eq=False)
class Glyphs:
    """One cell each. `steps` and `bar` from empty to full."""

    status: Mapping[Status, str]
    done: str
    running: str
    failed: str
    skipped: str
    pending: str
    retry: str
    bar_full: str
    bar_empty: str
    rule: str
    cursor: str
    mark: str
    separator: str
    connected: str
    disconnected: str
    descending: str
    ascending: str
    levels: str


UNICODE = Glyphs(
    status={Status(name): glyph for name, glyph in {**STATE_GLYPHS, **CONCERN_GLYPHS}.items()},
    done="✓",
    running="▶",
    failed="✗",
    skipped="»",
    pending="○",
    retry="↻",
    bar_full="━",
    bar_empty="─",
    rule="─",
    cursor=">",
    mark="*",
    separator="│",
    connected="●",
    disconnected="○",
    descending="▼",
    ascending="▲",
    levels=" ▁▂▃▄▅▆▇█",
)

ASCII = Glyphs(
    status={
        Status.STUCK: "!",
        Status.WAITING: "?",
        Status.FAILED: "F",
        Status.FAILED_ITEMS: "d",
        Status.RUNNING: "R",
        Status.PAUSING: "p",
        Status.CANCELLING: "c",
        Status.PAUSED: "P",
        Status.QUEUED: "Q",
        Status.SCHEDULED: "S",
        Status.CANCELLED: "C",
        Status.COMPLETED: "D",
    },
    done="#",
    running=">",
    failed="x",
    skipped="-",
    pending=".",
    retry="r",
    bar_full="=",
    bar_empty=".",
    rule="-",
    cursor=">",
    mark="*",
    separator="|",
    connected="o",
    disconnected="-",
    descending="v",
    ascending="^",
    levels=" .:-=+*#%",
)


def glyphs_for(environ: Mapping[str, str], encoding: str) -> Glyphs:
    """Letters where the terminal is known to have nothing else: the Linux console, and locales that are not UTF-8."""
    plain = environ.get("TERM") in ("linux", "dumb") or not _is_utf8(encoding) or not _is_utf8(_charset(environ))
    return ASCII if plain else UNICODE


def _charset(environ: Mapping[str, str]) -> str:
    """As a person set it. Nothing set means nothing known: such a terminal, as in a container, has UTF-8 mostly."""
    kind, language = environ.get("LC_CTYPE", ""), environ.get("LANG", "")
    if kind in ("C.UTF-8", "C.utf8", "UTF-8"):
        kind = ""  # Python itself sets it where the locale is C (PEP 538)
    locale = environ.get("LC_ALL") or kind or language
    return "ascii" if locale in ("C", "POSIX") else locale.partition(".")[2].partition("@")[0] or "utf-8"


def _is_utf8(encoding: str) -> bool:
    return encoding.lower().replace("-", "") == "utf8"
