"""The job as its steps see it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from milepost.sdk.errors import Persistent, UnusableInput

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import TextIO

_CHUNK = 1 << 20


class Job:
    """`folder` is the job's own; `input` the copy of its input file there, or None; `input_name` what it was called."""

    def __init__(self, start: Mapping[str, Any]) -> None:  # Any: the JSON object of the start frame
        from pathlib import Path

        self.id: str = start["id"]
        self.name: str = start.get("name", "")
        self.parameters: dict[str, Any] = dict(start.get("parameters") or {})  # Any: JSON values of the operator
        self.folder: Path = Path(start["folder"])
        self.input: Path | None = Path(start["input"]) if start.get("input") else None
        self.input_name: str = start.get("input_name") or ""

    def open_input(self, encoding: str = "utf-8-sig") -> TextIO:
        """The input as text, fit for `csv` (newlines untouched, a byte order mark removed).

        The whole input is checked first, so that a bad byte in the last line is told before any work is paid for.
        Raises UnusableInput when there is no input, or it is not text of this encoding; Persistent when its copy is
        gone.
        """
        if self.input is None:
            raise UnusableInput("This job has no input.", remedy="Name an input file.")
        try:
            self._check(self.input, encoding)
            return self.input.open(encoding=encoding, newline="")
        except FileNotFoundError:
            raise Persistent(
                f"The job's copy of its input {self.input_name} is gone: {self.input}.",
                remedy="Put the file back there, or submit the job again.",
            ) from None

    def _check(self, path: Path, encoding: str) -> None:
        import codecs

        decoder = codecs.getincrementaldecoder(encoding)()
        lines = 1
        with path.open("rb") as file:
            while True:
                chunk = file.read(_CHUNK)
                try:
                    decoder.decode(chunk, final=not chunk)
                except UnicodeDecodeError as error:
                    bad = error.object[error.start]
                    line = lines + error.object[: error.start].count(b"\n")
                    name = self.input_name or path.name
                    text = "UTF-8" if encoding == "utf-8-sig" else encoding
                    raise UnusableInput(
                        f"The input {name} is not {text}: byte 0x{bad:02x} in line {line}.",
                        remedy=f'Convert it (iconv -f WINDOWS-1252 -t UTF-8 "{name}"), '
                        'or name its encoding: job.open_input(encoding="cp1252").',
                    ) from None
                if not chunk:
                    return
                lines += chunk.count(b"\n")
