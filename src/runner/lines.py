"""The items of a command pipeline: the lines of its input."""

import io
import json
from collections.abc import Iterator
from pathlib import Path

MAX_CHUNK = 500
MAX_CHUNK_BYTES = 512 * 1024
#: No longer argument can be given to a command (MAX_ARG_STRLEN of Linux).
MAX_LINE = 128 * 1024
MAX_KEY = 200

_BOM = b"\xef\xbb\xbf"

Chunk = list[tuple[str, str]]


class InputError(Exception):
    """The input cannot be read as lines; the text says where and why."""


def read_chunks(path: Path, *, inline: bool) -> Iterator[Chunk]:
    """Pairs of key and payload (JSON), a few hundred at a time. Blank lines are not items.

    `inline`: each line is already an item, a JSON object, named by its position. Raises InputError, OSError.
    """
    chunk: Chunk = []
    size = 0
    with path.open("rb") as file:
        for line in _lines(file):
            key, payload = ("", line) if inline else (_key(line), json.dumps({"line": line}, ensure_ascii=False))
            chunk.append((key, payload))
            size += len(key) + len(payload)
            if len(chunk) == MAX_CHUNK or size >= MAX_CHUNK_BYTES:
                yield chunk
                chunk, size = [], 0
    if chunk:
        yield chunk


def _lines(file: io.BufferedReader) -> Iterator[str]:
    number = 0
    while raw := file.readline(MAX_LINE + 1):
        number += 1
        if len(raw) > MAX_LINE:
            raise InputError(f"Line {number} of the input is longer than {MAX_LINE:,} bytes.")
        if number == 1:
            raw = raw.removeprefix(_BOM)
        try:
            line = raw.decode().rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise InputError(
                f"Line {number} of the input is not UTF-8: byte {error.object[error.start]:#04x} at its position "
                f"{error.start + 1}."
            ) from error
        if line.strip():
            yield line


def _key(line: str) -> str:
    return line if len(line) <= MAX_KEY else line[: MAX_KEY - 1] + "…"
