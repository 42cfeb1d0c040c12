"""Why the pipeline cannot be run at all, for its author."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from milepost.runner import frames
from milepost.runner.frames import Frame


@dataclass(frozen=True)
class Mistake:
    """`file` and `line`: where it is, as far as the worker knows."""

    message: str
    remedy: str
    file: str = ""
    line: int = 0

    @staticmethod
    def from_frame(frame: Frame) -> "Mistake":
        """Raises FrameError."""
        line = frame.get("line")
        interpreter = frames.text(frame, "interpreter")
        return Mistake(
            message=frames.text(frame, "message"),
            remedy=f"Correct the pipeline and resume. It was read by {interpreter}." if interpreter else "",
            file=frames.text(frame, "file"),
            line=line if isinstance(line, int) else 0,
        )

    def write(self, path: Path) -> None:
        """For the daemon, which reads it when the run has ended. Raises OSError."""
        path.write_text(json.dumps(asdict(self), ensure_ascii=False), errors="replace")
