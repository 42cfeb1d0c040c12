"""Statements for many rows: each costs its start and two turns of Python's lock, however many rows it is for.

A row of bound values takes half the processor that SQLite needs to get the same row out of a JSON text.
"""

from collections.abc import Sequence
from itertools import chain
from typing import Any

from milepost.daemon.store.group_commit import Transaction

#: Rows of a statement: as many as possible of the largest go first.
_SIZES = (128, 16, 4, 1)


class Bulk:
    """`sql` ends with the parameters of one row, `row`; the parameters that all rows share stand before them."""

    def __init__(self, sql: str, row: str) -> None:
        before, _, after = sql.rpartition(row)
        self._statements = [(size, before + ", ".join([row] * size) + after) for size in _SIZES]

    def execute(self, tx: Transaction, shared: Sequence[Any], rows: Sequence[Sequence[Any]]) -> None:
        """Any: what SQLite stores."""
        start = 0
        for size, sql in self._statements:
            while start + size <= len(rows):
                tx.execute(sql, [*shared, *chain.from_iterable(rows[start : start + size])])
                start += size
