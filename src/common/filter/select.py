"""The same predicate over many jobs at once: each test is one pass, and each pass sees only what is left."""

from collections.abc import Sequence
from operator import attrgetter

from milepost.common.filter.tree import (
    COMPARISONS,
    And,
    FilterSubject,
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

_AGES = {"age": attrgetter("create_time"), "idle": attrgetter("activity_time")}


def select(node: Node, subjects: Sequence[FilterSubject], now: float) -> Sequence[FilterSubject]:
    """Those for which `matches` holds, in the same order. For 50,000 of them it takes milliseconds."""
    match node:
        case And(operands):
            for operand in operands:
                subjects = select(operand, subjects, now)
            return subjects
        case Or(operands):
            chosen = {id(subject) for operand in operands for subject in select(operand, subjects, now)}
            return [subject for subject in subjects if id(subject) in chosen]
        case Not(operand):
            dropped = {id(subject) for subject in select(operand, subjects, now)}
            return [subject for subject in subjects if id(subject) not in dropped]
        case StateTest(value):
            return [subject for subject in subjects if subject.state is value]
        case TextTest("name", Operator.HAS, value):
            part = fold(value)
            return [subject for subject in subjects if part in subject.folded_name]
        case NumberTest(field, op, value) if field in _AGES:
            time, holds = _AGES[field], COMPARISONS[op]
            return [subject for subject in subjects if holds(now - time(subject), value)]
        case NumberTest(field, op, value):
            number, holds = attrgetter(field), COMPARISONS[op]
            return [subject for subject in subjects if holds(number(subject), value)]
        case _:
            return [subject for subject in subjects if matches(node, subject, now)]
