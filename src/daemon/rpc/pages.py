"""Pages of lists: opaque tokens, and collecting rows up to a number and a size."""

import base64
import binascii
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from google.protobuf.message import Message

from milepost.core.errors import Code, MilepostError

DEFAULT_PAGE = 100
MAX_PAGE = 1000
MAX_PAGE_BYTES = 1024 * 1024
#: Rows that are read at a time: few enough that a page of large ones is not read in vain.
_BATCH = 100
_VERSION = "1"

M = TypeVar("M", bound=Message | bytes)


class Tokens:
    """Page tokens of one list: they hold a position and fit only the store and the query they were made for."""

    def __init__(self, store_id: str, *query: object) -> None:
        self._query = hashlib.sha256(repr((store_id, query)).encode()).hexdigest()[:16]

    def token(self, position: int | None) -> str:
        """Empty when there is no next page."""
        if position is None:
            return ""
        return base64.urlsafe_b64encode(f"{_VERSION}.{self._query}.{position}".encode()).decode()

    def position(self, token: str) -> int | None:
        """None for the first page. Raises MilepostError(INVALID_PAGE_TOKEN)."""
        if not token:
            return None
        try:
            version, query, position = base64.b64decode(token, b"-_", validate=True).decode("ascii").split(".")
            if (version, query) == (_VERSION, self._query):
                return int(position)
        except (binascii.Error, ValueError):
            pass
        raise MilepostError(
            Code.INVALID_PAGE_TOKEN,
            "The page token does not belong to this list.",
            "Use next_page_token of the last answer with the same query, or begin without a token.",
            {"field": "page_token"},
        )


def page_size(given: int) -> int:
    """Raises MilepostError(INVALID_ARGUMENT) for a negative one; more than MAX_PAGE is cut to it."""
    if given < 0:
        raise MilepostError(
            Code.INVALID_ARGUMENT,
            f"The page size {given} is negative.",
            f"Give 0 for {DEFAULT_PAGE}, or at most {MAX_PAGE}.",
            {"field": "page_size"},
        )
    return min(given or DEFAULT_PAGE, MAX_PAGE)


async def collect(
    fetch: Callable[[int | None, int], Awaitable[Sequence[tuple[int, M | None]]]], after: int | None, size: int
) -> tuple[list[M], int | None]:
    """Up to `size` messages and MAX_PAGE_BYTES (but at least one), and the position of the last if there are more.

    `fetch(after, limit)` gives (position, message) of the next rows, each a message or encoded; None stands for one
    that is left out.
    """
    collected: list[M] = []
    used = 0
    while True:
        limit = min(_BATCH, size - len(collected) + 1)
        rows = await fetch(after, limit)
        for position, message in rows:
            if message is None:
                after = position
                continue
            used += len(message) if isinstance(message, bytes) else message.ByteSize()
            if len(collected) == size or (collected and used > MAX_PAGE_BYTES):
                return collected, after
            collected.append(message)
            after = position
        if len(rows) < limit:
            return collected, None
