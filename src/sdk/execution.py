"""One execution of a task in this worker: what came with it, and how it stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from milepost.sdk.output import printable

if TYPE_CHECKING:
    from pathlib import Path

    from milepost.sdk.enumeration import Enumeration
    from milepost.sdk.pipeline import Step
    from milepost.sdk.session import Session


class Execution:
    """Made from a row of the `tasks` frame; its JSON texts are decoded only when the author asks for them."""

    __slots__ = (
        "attempt",
        "cancel_reason",
        "enumeration",
        "epoch",
        "folder",
        "handle",
        "id",
        "item_id",
        "key",
        "partial_folder",
        "payload_json",
        "previous_json",
        "saved_json",
        "session",
        "started",
        "step",
        "step_name",
        "working",
    )

    def __init__(self, row: list[Any], step: Step, session: Session) -> None:  # Any: a row of the frame protocol
        self.id: int
        self.step_name: str
        self.key: str
        self.attempt: int
        self.payload_json: str
        self.previous_json: dict[str, str]
        self.saved_json: str
        self.folder: str  # relative to the job's
        (
            self.id,
            self.step_name,
            self.key,
            self.item_id,
            self.epoch,
            self.attempt,
            self.payload_json,
            self.previous_json,
            self.saved_json,
            self.folder,
        ) = row
        self.step = step
        self.session = session
        self.handle: Any = None  # Any: the asyncio task or the future of the thread pool
        self.started = 0  # Unix time in microseconds; 0 until the author's code is called
        self.working = True  # False once the author's code has returned: from then on it cannot be cancelled
        self.cancel_reason = ""
        self.partial_folder: Path | None = None
        self.enumeration: Enumeration | None = None

    @property
    def tag(self) -> str:
        """What stands before each line that the task prints."""
        return f"[{self.step_name} {printable(self.key)}] " if self.key else f"[{self.step_name}] "
