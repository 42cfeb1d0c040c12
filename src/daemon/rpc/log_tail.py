"""Lines of a job's log: the files of all its runs, one after the other, and what is still written to the last."""

import asyncio
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

#: Seconds between two looks at a file that is followed.
POLL = 0.1
#: Bytes that are read at a time; a longer line comes in pieces.
_CHUNK = 256 * 1024
_RUN_LOG = re.compile(r"run-([0-9]+)\.log")


@dataclass(frozen=True)
class Place:
    """A byte of the log: `offset` within the file of the run with number `run`; 0 is before the first."""

    run: int
    offset: int


async def tail(
    folder: Path, lines: int, *, follow: bool, may_grow: Callable[[], Awaitable[bool]]
) -> AsyncIterator[list[str]]:
    """The last `lines` lines (0: all), then with `follow` what comes, until `may_grow` says that nothing will.

    `folder`: that of the log files. An unfinished line is held back until it is whole or the log has ended.
    """
    place = await asyncio.to_thread(_last_lines, folder, lines) if lines else Place(0, 0)
    while True:
        # Asked before reading: what was written until then is read below.
        grows = follow and await may_grow()
        while True:
            found, following = await asyncio.to_thread(_read, folder, place, not grows)
            if found:
                yield found
            if following == place:
                break
            place = following
        if not grows:
            return
        await asyncio.sleep(POLL)


def _runs(folder: Path) -> dict[int, Path]:
    """The log file of each run, in order."""
    entries = list(folder.iterdir()) if folder.is_dir() else []
    files = {int(match[1]): entry for entry in entries if (match := _RUN_LOG.fullmatch(entry.name))}
    return dict(sorted(files.items()))


def _read(folder: Path, place: Place, at_end: bool) -> tuple[list[str], Place]:
    """The next lines after this place, and the place after them. `at_end`: nothing more will come."""
    runs = _runs(folder)
    later = [number for number in runs if number > place.run]
    data = _bytes(runs.get(place.run), place.offset)
    if not data:
        return [], Place(later[0], 0) if later else place
    whole = data.rfind(b"\n") + 1
    if not whole and (later or at_end or len(data) == _CHUNK):
        whole = len(data)
    if not whole:
        return [], place
    text = data[:whole].decode(errors="replace").removesuffix("\n")
    return text.split("\n"), Place(place.run, place.offset + whole)


def _bytes(file: Path | None, offset: int) -> bytes:
    if file is None:
        return b""
    with file.open("rb") as stream:
        stream.seek(offset)
        return stream.read(_CHUNK)


def _last_lines(folder: Path, lines: int) -> Place:
    """Where the last `lines` lines begin."""
    wanted = lines
    for number, file in reversed(_runs(folder).items()):
        with file.open("rb") as stream:
            for start in _line_starts(stream):
                wanted -= 1
                if wanted == 0:
                    return Place(number, start)
    return Place(0, 0)


def _line_starts(stream: BinaryIO) -> Iterator[int]:
    """Offsets of the lines, from the last to the first, read in blocks from the end."""
    size = end = stream.seek(0, os.SEEK_END)
    while end > 0:
        begin = max(0, end - _CHUNK)
        stream.seek(begin)
        block = stream.read(end - begin)
        newline = block.rfind(b"\n")
        while newline >= 0:
            if begin + newline + 1 < size:
                yield begin + newline + 1
            newline = block.rfind(b"\n", 0, newline)
        end = begin
    if size:
        yield 0
