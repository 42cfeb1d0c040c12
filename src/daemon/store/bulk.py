"""Statements for many rows: each costs its start and two turns of Python's lock, however many rows it is for.

A row of bound values takes half the processor that SQLite needs to get the same row out of a JSON text.
"""

from collections.abc import Sequence
from typing import Any

from milepost.daemon.store.group_commit import Transaction

#: Rows of a statement: as many as possible of the largest go first.
_SIZES = (128, 16, 4, 1)


class Bulk:
    """`sql` ends with the parameters of one row, `row`; the parameters that all rows share stand before them."""

    def __init__(self, sql: str, row: str) -> None:
        before, _, after = sql.rpartition(row)
        self._statements = [(size, before + ", ".join([row] * size) + after) for size in _SIZES]

    def execute(self, tx: Transaction, shared: Sequence[Any], columns: Sequence[Sequence[Any]]) -> None:
        """`columns`: those of a row, each with a value for each row. Any: what SQLite stores."""
        start, end, width = 0, len(columns[0]), len(columns)
        for size, sql in self._statements:
            while start + size <= end:
                values = [None] * (width * size)
                for number, column in enumerate(columns):
                    values[number::width] = column[start : start + size]
                tx.execute(sql, [*shared, *values])
                start += size
