"""The same predicate over many jobs at once: a column of truth for each test, made and joined without a Python loop."""

from collections.abc import Callable, Sequence
from itertools import compress, repeat
from operator import and_, attrgetter, contains, is_, not_, or_, sub
from typing import TypeVar

from milepost.common.filter.tree import (
    COMPARISONS,
    EVERYTHING,
    And,
    Filterable,
    Node,
    Not,
    NumberTest,
    Operator,
    Or,
    StateTest,
    TextTest,
    fold,
    matches,
)

Subject = TypeVar("Subject", bound=Filterable)

_STARTS = {"age": attrgetter("create_time"), "idle": attrgetter("activity_time")}


def select(node: Node, subjects: Sequence[Subject], now: float) -> Sequence[Subject]:
    """Those for which `matches` holds, in the same order. Of 50,000 in milliseconds."""
    return subjects if node == EVERYTHING else list(compress(subjects, _column(node, subjects, now)))


def _column(node: Node, subjects: Sequence[Filterable], now: float) -> list[bool]:
    match node:
        case And(operands) | Or(operands) if not operands:
            return [isinstance(node, And)] * len(subjects)
        case And(operands):
            return _joined(and_, operands, subjects, now)
        case Or(operands):
            return _joined(or_, operands, subjects, now)
        case Not(operand):
            return list(map(not_, _column(operand, subjects, now)))
        case StateTest(value):
            return list(map(is_, map(attrgetter("state"), subjects), repeat(value)))
        case TextTest("name", Operator.HAS, value):
            # By far the commonest: a person types part of a name.
            return list(map(contains, map(attrgetter("folded_name"), subjects), repeat(fold(value))))
        case TextTest(field, Operator.HAS, value):
            return list(map(contains, map(fold, map(attrgetter(field), subjects)), repeat(fold(value))))
        case NumberTest(field, op, value) if field in _STARTS:
            ages = map(sub, repeat(now), map(_STARTS[field], subjects))
            return list(map(COMPARISONS[op], ages, repeat(value)))
        case NumberTest(field, op, value):
            return list(map(COMPARISONS[op], map(attrgetter(field), subjects), repeat(value)))
        case _:
            return [matches(node, subject, now) for subject in subjects]


def _joined(
    join: Callable[[bool, bool], bool], operands: Sequence[Node], subjects: Sequence[Filterable], now: float
) -> list[bool]:
    column = _column(operands[0], subjects, now)
    for operand in operands[1:]:
        column = list(map(join, column, _column(operand, subjects, now)))
    return column
