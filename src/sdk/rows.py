"""What a step with takes="all" reads: one row for each item of the line before it, streamed, never whole in memory."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from milepost.sdk.errors import Transient

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from milepost.sdk.execution import Execution


class StepResults(Mapping[str, Any]):  # Any: JSON values
    """Results by step name, decoded when looked at."""

    __slots__ = ("_texts",)

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = texts

    def __getitem__(self, step: str) -> Any:  # Any: a JSON value
        try:
            text = self._texts[step]
        except KeyError:
            there = ", ".join(self._texts) or "none"
            raise KeyError(f"no earlier result of a step {step!r} (there is: {there})") from None
        return json.loads(text) if text else None

    def __iter__(self) -> Iterator[str]:
        return iter(self._texts)

    def __len__(self) -> int:
        return len(self._texts)

    def __repr__(self) -> str:
        return f"<results of {', '.join(self._texts) or 'no step'}>"


class Row:
    """How one item came through. `outcome` is SUCCEEDED, SKIPPED or FAILED; `step` the last one that it was in."""

    __slots__ = (
        "_payload_json",
        "error_class",
        "error_message",
        "item_id",
        "key",
        "label",
        "outcome",
        "results",
        "step",
    )

    def __init__(self, row: list[Any]) -> None:  # Any: a row of the frame protocol
        (
            self.item_id,
            self.key,
            self._payload_json,
            self.outcome,
            self.label,
            texts,
            self.error_class,
            self.error_message,
            self.step,
        ) = row
        self.results = StepResults(texts)

    @property
    def item(self) -> Any:  # Any: the item as it was enumerated
        return json.loads(self._payload_json)

    def result(self, step: str) -> Any:  # Any: a JSON value
        """What this step returned for the item; None when the item did not come through it."""
        return self.results[step] if step in self.results else None  # noqa: SIM401 (get() would decode twice)

    def __repr__(self) -> str:
        return f"<row {self.key!r} {self.outcome}{' ' + self.label if self.label else ''}>"


class Results:
    """The first argument of a step with takes="all". Read it with `for` in a `def`, `async for` in an `async def`; each
    time from the start. Raises Transient when the rows cannot be read just now."""

    __slots__ = ("_execution",)

    def __init__(self, execution: Execution) -> None:
        self._execution = execution

    def __iter__(self) -> Iterator[Row]:
        channel = self._execution.session.channel
        if channel.on_loop:
            raise TypeError("in an `async def` step the results are read with `async for row in results`")
        cursor: object = 0
        while True:
            rows, cursor = _page(channel.ask(self._question(cursor)).result())
            yield from rows
            if not cursor:
                return

    async def __aiter__(self) -> AsyncIterator[Row]:
        import asyncio

        cursor: object = 0
        while True:
            answer = await asyncio.wrap_future(self._execution.session.channel.ask(self._question(cursor)))
            rows, cursor = _page(answer)
            for row in rows:
                yield row
            if not cursor:
                return

    def _question(self, cursor: object) -> dict[str, object]:
        return {"type": "gather", "id": self._execution.id, "cursor": cursor}


def _page(answer: Mapping[str, Any]) -> tuple[list[Row], object]:  # Any: the JSON object of an answer frame
    if answer.get("error"):
        raise Transient(f"The results of the earlier steps cannot be read: {answer['error']}")
    return [Row(row) for row in answer["rows"]], answer.get("next")
