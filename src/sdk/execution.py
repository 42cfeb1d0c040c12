"""One execution of a task in this worker: what came with it, and how it stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from milepost.sdk.output import printable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from milepost.sdk.enumeration import Enumeration
    from milepost.sdk.pipeline import Step
    from milepost.sdk.session import Session

_NO_RESULTS: Mapping[str, str] = {}


class Execution:
    """Made from a `tasks` frame; its JSON texts are decoded only when the author asks for them."""

    __slots__ = (
        "attempt",
        "cancel_reason",
        "enumeration",
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
        "step_folder",
        "working",
    )

    def __init__(
        self,
        session: Session,
        step: Step,
        step_folder: str,
        number: int,
        item_id: int,
        key: str,
        payload_json: str,
    ) -> None:
        self.session = session
        self.step = step
        self.step_folder = step_folder
        self.id = number
        self.item_id = item_id
        self.key = key
        self.payload_json = payload_json
        self.attempt = 1
        self.previous_json = _NO_RESULTS
        self.saved_json = ""
        self.handle: Any = None  # Any: the asyncio task or the future of the thread pool
        self.started = 0  # Unix time in microseconds; 0 until the author's code is called
        self.working = True  # False once the author's code has returned: from then on it cannot be cancelled
        self.cancel_reason = ""
        self.partial_folder: Path | None = None
        self.enumeration: Enumeration | None = None

    def remember(self, attempt: int, previous_json: Mapping[str, str], saved_json: str) -> None:
        """What came before, of a task that is not new."""
        self.attempt, self.previous_json, self.saved_json = attempt, previous_json, saved_json

    @property
    def folder(self) -> str:
        """Of its artefacts, relative to the job's."""
        return f"items/{self.item_id}/{self.step_folder}/{self.session.run}-{self.id}"

    @property
    def tag(self) -> str:
        """What stands before each line that the task prints."""
        return f"[{self.step.name} {printable(self.key)}] " if self.key else f"[{self.step.name}] "
