"""The same predicate over many jobs at once: a filter becomes one Python expression, compiled for one pass."""

from collections.abc import Callable, Collection
from functools import lru_cache
from types import CodeType
from typing import TypeVar

from milepost.common.filter.tree import (
    EVERYTHING,
    And,
    Filterable,
    FindingTest,
    LabelTest,
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

#: Durations, by the time that they began.
_SPANS = {"age": "create_time", "idle": "activity_time"}
_SIGNS = {Operator.EQUAL: "==", Operator.UNEQUAL: "!="}


def select(node: Node, subjects: Collection[Subject], now: float, places: tuple[str, ...] = ()) -> Collection[Subject]:
    """Those for which `matches` holds, in the same order. Of 50,000 in milliseconds.

    `places`: the fields of the subjects where they are named tuples, in order. Read by place, a field takes half as
    long as by name.
    """
    if node == EVERYTHING:
        return subjects
    code, values = _compiled(node, places)
    names = {"jobs": subjects, "now": now, "values": values, "matches": matches, "fold": fold}
    chosen: list[Subject] = eval(code, names)  # noqa: S307 - made below of fixed pieces; what was typed is in `values`
    return chosen


@lru_cache(maxsize=16)
def _compiled(node: Node, places: tuple[str, ...]) -> tuple[CodeType, tuple[object, ...]]:
    values: list[object] = []

    def value(given: object) -> str:
        values.append(given)
        return f"v{len(values) - 1}"

    def read(field: str) -> str:
        return f"job[{places.index(field)}]" if field in places else f"job.{field}"

    expression = _expression(node, value, read)
    bound = "".join(f" for v{number} in (values[{number}],)" for number in range(len(values)))
    # Bound once and before the loop over the jobs, so that each is a local variable within it.
    source = f"[job{bound} for job in jobs if {expression}]"
    return compile(source, "<filter>", "eval"), tuple(values)


def _expression(node: Node, value: Callable[[object], str], read: Callable[[str], str]) -> str:
    """`value` gives the name of a value, `read` how a field of the job is read."""
    match node:
        case And(operands):
            return f"({' and '.join(_expression(operand, value, read) for operand in operands) or 'True'})"
        case Or(operands):
            return f"({' or '.join(_expression(operand, value, read) for operand in operands) or 'False'})"
        case Not(operand):
            return f"(not {_expression(operand, value, read)})"
        case StateTest(state):
            return f"{read('state')} is {value(state)}"
        case FindingTest(kind):
            return f"{value(kind)} in {read('findings')}"
        case TextTest("name", Operator.HAS, part):
            return f"{value(fold(part))} in {read('folded_name')}"
        case TextTest(field, Operator.HAS, part):
            return f"{value(fold(part))} in fold({read(field)})"
        case TextTest(field, op, text):
            return f"{read(field)} {_SIGNS[op]} {value(text)}"
        case NumberTest(field, op, number):
            span = f"(now - {read(_SPANS[field])})" if field in _SPANS else read(field)
            return f"{span} {_SIGNS.get(op, op.value)} {value(number)}"
        case LabelTest():
            return f"matches({value(node)}, job, now)"
