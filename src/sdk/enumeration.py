"""Items and children: what the author's function gives, as keys and JSON texts."""

from __future__ import annotations

import concurrent.futures
import time
from collections import deque
from collections.abc import AsyncIterable, Iterable
from typing import TYPE_CHECKING, Any

from milepost.sdk.channel import to_line
from milepost.sdk.results import InvalidResult, encode

if TYPE_CHECKING:
    from milepost.sdk.execution import Execution

CHUNK_ITEMS = 500
CHUNK_CHARACTERS = 512 * 1024 // 4  # at most 512 KiB of UTF-8
WINDOW = 4
MAX_CHILDREN = 10_000
MAX_CHILDREN_CHARACTERS = 3 << 20
MAX_KEY = 1000
#: A slow source's items are not held back longer than until the next one after this time, in seconds.
_PATIENCE = 0.5


class Enumeration:
    """Sends the job's items in chunks, at most four ahead of what the runner has taken."""

    def __init__(self, execution: Execution) -> None:
        self._execution = execution
        self._number = time.time_ns() // 1000
        self._position = 0
        self._keys: list[str] = []
        self._payloads: list[str] = []
        self._size = 0
        self._sent_time = 0.0
        self._unacknowledged: deque[tuple[int, concurrent.futures.Future[None]]] = deque()
        # Items without an input are the pipeline's own: to mend it and resume is all that they need.
        self._without_key = "corrupt_source" if execution.session.job.input else "invalid_result"

    def add(self, item: object) -> bool:
        """True when the chunk should go out now. Raises InvalidResult that names the item's number, from 1."""
        number = self._position + len(self._keys) + 1
        key, payload = keyed(item, self._execution.step.key, str(number), f"Item {number}", self._without_key)
        self._keys.append(key)
        self._payloads.append(payload)
        self._size += len(key) + len(payload)
        return (
            len(self._keys) >= CHUNK_ITEMS
            or self._size >= CHUNK_CHARACTERS
            or time.monotonic() - self._sent_time > _PATIENCE
        )

    def room(self) -> concurrent.futures.Future[None] | None:
        """What to wait for before the next chunk may be sent; None when it may be sent now."""
        return self._unacknowledged[0][1] if len(self._unacknowledged) >= WINDOW else None

    def send(self) -> None:
        if not self._keys:
            return
        frame = {
            "type": "items",
            "id": self._execution.id,
            "enumeration": self._number,
            "first": self._position,
            "keys": self._keys,
        }
        self._position += len(self._keys)
        self._unacknowledged.append((self._position, concurrent.futures.Future()))
        channel = self._execution.session.channel
        channel.call(channel.send, to_line(frame, self._payloads))
        self._keys, self._payloads = [], []
        self._size, self._sent_time = 0, time.monotonic()

    def acknowledged(self, position: int) -> None:
        """The runner has taken every item before this position. Called in the loop's thread."""
        while self._unacknowledged and self._unacknowledged[0][0] <= position:
            future = self._unacknowledged.popleft()[1]
            if future.set_running_or_notify_cancel():
                future.set_result(None)


def items_of(value: object) -> Iterable[object]:
    """What an items function gave, if it can be gone through. Raises InvalidResult."""
    if not isinstance(value, Iterable) or isinstance(value, (str, bytes, dict)):
        raise InvalidResult(
            f"The items are a {type(value).__name__}, not a list or generator of dicts.",
            "Yield a dict for each item, or return a list of them.",
        )
    return value


def is_async(value: object) -> bool:
    return isinstance(value, AsyncIterable)


class Children:
    """The children that one task gives, all in one message."""

    def __init__(self, execution: Execution) -> None:
        self._field = execution.step.key
        self._parent = execution.key
        self._size = 0
        self.keys: list[str] = []
        self.payloads: list[str] = []

    def add(self, child: object) -> None:
        """Raises InvalidResult for a child that is no item, and beyond 10,000 children or 3 MiB."""
        number = len(self.keys) + 1
        default = f"{self._parent}/{number}" if self._parent else str(number)
        key, payload = keyed(child, self._field, default, f"Child {number}")
        self._size += len(key) + len(payload)
        if number > MAX_CHILDREN or self._size > MAX_CHILDREN_CHARACTERS:
            raise InvalidResult(
                f"A task may give at most {MAX_CHILDREN:,} children of {MAX_CHILDREN_CHARACTERS >> 20} MiB in all; "
                f"this one gave more.",
                "Give less data with each child (task.artefacts holds the rest), or enumerate them in @items.",
                "result_too_large",
            )
        self.keys.append(key)
        self.payloads.append(payload)


def keyed(
    item: object, field: str | None, default: str, what: str, without_key: str = "invalid_result"
) -> tuple[str, str]:
    """Key and JSON text of an item. Raises InvalidResult, of class `without_key` where its key cannot be one.

    An item whose key field is empty is named by its position, like "#7": two of them are not each other's duplicate.
    """
    if not isinstance(item, dict):
        raise InvalidResult(
            f"{what} is a {type(item).__name__}, not a dict.", 'Give a dict for each, like {"url": value}.'
        )
    if field is not None and item.get(field, default) in (None, ""):
        return f"#{default}", encode(item, what)
    return default if field is None else _key(item, field, what, without_key), encode(item, what)


def _key(item: dict[Any, Any], field: str, what: str, error_class: str) -> str:  # Any: the author's item
    if field not in item:
        fields = ", ".join(str(name) for name in list(item)[:20])
        raise InvalidResult(
            f"{what} has no field {field!r} to be known by (its fields: {fields}).",
            "Give every item that field, or write key=... with one that every item has.",
            error_class,
        )
    value = item[field]
    key = str(value) if isinstance(value, (str, int)) and not isinstance(value, bool) else ""
    if not 1 <= len(key) <= MAX_KEY:
        raise InvalidResult(
            f"{what} has {str(value)[:100]!r} in its key field {field!r}.",
            f"A key is a text of 1 to {MAX_KEY} characters, or a whole number.",
            error_class,
        )
    return key
