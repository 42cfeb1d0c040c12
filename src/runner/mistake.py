"""Why the pipeline cannot be run at all, for its author."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from milepost.runner import frames


@dataclass(frozen=True)
class Mistake:
    """`file` and `line`: where it is, as far as the worker knows."""

    message: str
    remedy: str
    file: str = ""
    line: int = 0

    @staticmethod
    def from_frame(frame: frames.Mistake) -> "Mistake":
        read_by = f"Correct the pipeline and resume. It was read by {frame.interpreter}." if frame.interpreter else ""
        return Mistake(message=frame.message, remedy=read_by, file=frame.file, line=frame.line or 0)

    def write(self, path: Path) -> None:
        """For the daemon, which reads it when the run has ended. Raises OSError."""
        path.write_text(json.dumps(asdict(self), ensure_ascii=False), errors="replace")
