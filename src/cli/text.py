"""Words for a person: states, counts, times, and text from jobs made safe to show."""

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from milepost.v1 import job_pb2

#: (glyph, colour) by state. The glyph and the word say it without colour too.
STATE_LOOKS: Mapping[str, tuple[str, str]] = {
    "SCHEDULED": ("◷", "cyan"),
    "QUEUED": ("…", "cyan"),
    "RUNNING": ("▶", "blue"),
    "PAUSING": ("⏸", "yellow"),
    "PAUSED": ("⏸", "yellow"),
    "CANCELLING": ("■", "magenta"),
    "CANCELLED": ("■", "magenta"),
    "WAITING": ("?", "yellow"),
    "COMPLETED": ("✔", "green"),
    "FAILED": ("✘", "red"),
}
_ANSI = {"red": 31, "green": 32, "yellow": 33, "blue": 34, "magenta": 35, "cyan": 36, "bold": 1, "dim": 2}


@dataclass(frozen=True)
class Paint:
    """Colours text for a terminal that wants it; otherwise leaves it as it is."""

    on: bool

    def __call__(self, colour: str, text: str) -> str:
        return f"\x1b[{_ANSI[colour]}m{text}\x1b[0m" if self.on and text else text


def safe(text: str, keep: str = "") -> str:
    """Text from a job, with control characters (also those that turn the direction of writing) escaped."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        letter if letter in keep or unicodedata.category(letter) not in _UNSAFE else _escaped(letter) for letter in text
    )


def safe_lines(text: str) -> str:
    """As `safe`, for text of several lines."""
    return safe(text, keep="\n\t")


_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def _escaped(letter: str) -> str:
    return letter.encode("unicode_escape").decode("ascii")


def width(text: str) -> int:
    """Cells on a terminal, for text without control characters."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(letter) else 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        for letter in text
    )


def shorten(text: str, cells: int) -> str:
    if width(text) <= cells:
        return text
    kept = ""
    for letter in text:
        if width(kept) + width(letter) > cells - 1:
            break
        kept += letter
    return f"{kept}…"


@dataclass(frozen=True)
class Cell:
    text: str
    colour: str = ""


def table(heads: Sequence[str], rows: Sequence[Sequence[Cell | str]], paint: Paint, columns: int | None) -> str:
    """Aligned columns; with `columns` (of a terminal) the last one is cut to fit."""
    cells = [[cell if isinstance(cell, Cell) else Cell(cell) for cell in row] for row in rows]
    widths = [max([width(head), *(width(row[at].text) for row in cells)]) for at, head in enumerate(heads)]
    if columns is not None:
        before = sum(widths[:-1]) + 2 * (len(widths) - 1)
        widths[-1] = max(8, min(widths[-1], columns - before))
    lines = [_line([Cell(head, "dim") for head in heads], widths, paint)]
    lines += [_line(row, widths, paint) for row in cells]
    return "\n".join(lines)


def _line(row: Sequence[Cell], widths: Sequence[int], paint: Paint) -> str:
    parts = []
    for cell, cells in zip(row, widths, strict=True):
        text = shorten(cell.text, cells)
        padding = " " * (cells - width(text))
        parts.append((paint(cell.colour, text) if cell.colour else text) + padding)
    return "  ".join(parts).rstrip()


def state_name(job: job_pb2.Job) -> str:
    return job_pb2.JobState.Name(job.state).removeprefix("JOB_STATE_")


def state_cell(job: job_pb2.Job) -> Cell:
    """Glyph and word; a completed job with failed items is amber and says so."""
    name = state_name(job)
    glyph, colour = STATE_LOOKS.get(name, ("·", "dim"))
    if name == "COMPLETED" and job.counts.failed:
        return Cell("! COMPLETED", "yellow")
    return Cell(f"{glyph} {name}", colour)


def counts_words(counts: job_pb2.Counts) -> str:
    """As "228 of 313 processed, 11 failed"; of what can still arrive, so that it can become all of it."""
    possible = counts.total - counts.upstream
    if not possible and not counts.total_known:
        return "nothing processed yet"
    words = f"{counts.processed} of {possible}{'' if counts.total_known else '+'} processed"
    return f"{words}, {counts.failed} failed" if counts.failed else words


def outcomes_words(outcomes: Sequence[job_pb2.OutcomeCount]) -> str:
    """As "200 added, 11 failed, 2 skipped (filtered)"."""
    parts = []
    for entry in outcomes:
        plain = job_pb2.Outcome.Name(entry.outcome).removeprefix("OUTCOME_").lower()
        if not entry.label:
            parts.append(f"{entry.count} {plain}")
        elif entry.outcome == job_pb2.OUTCOME_SUCCEEDED:
            parts.append(f"{entry.count} {safe(entry.label)}")
        else:
            parts.append(f"{entry.count} {plain} ({safe(entry.label)})")
    return ", ".join(parts)


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


def duration_seconds(duration: Duration) -> float:
    return duration.seconds + duration.nanos / 1e9


def unix_seconds(moment: Timestamp) -> float:
    return moment.seconds + moment.nanos / 1e9


def eta_words(progress: job_pb2.Progress) -> str:
    return seconds_words(duration_seconds(progress.eta)) if progress.HasField("eta") else "—"


def clock_words(moment: Timestamp, now: float) -> str:
    """Local time; with the date when it is not within a day of now."""
    import time

    seconds = unix_seconds(moment)
    near = abs(now - seconds) < 86_400
    return time.strftime("%H:%M:%S" if near else "%Y-%m-%d %H:%M", time.localtime(seconds))


def reason_words(reason: job_pb2.Reason) -> str:
    return safe(f"{reason.message} {reason.remedy}".strip())
