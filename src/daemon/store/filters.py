"""From the syntax tree of a filter to SQL over the table `job`.

The predicate of `common.filter` is what a filter means; this says the same to SQLite, and a test holds them together.
Values of the filter are arguments, never part of the text.
"""
# ruff: noqa: S608 - only our own words become part of the SQL

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from milepost.common.filter.tree import (
    And,
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
)
from milepost.core.model import FindingKind
from milepost.daemon.store import rows
from milepost.daemon.store.queries import load

Value = str | float


@dataclass(frozen=True)
class Clause:
    """A condition for WHERE, "" when every job is meant, and the values of its `?`."""

    sql: str
    arguments: tuple[Value, ...] = ()


#: By what is noticed, the ids of the jobs: nothing of that is in the store.
Noticed = Mapping[FindingKind, Collection[str]]
NOTHING_NOTICED: Noticed = {}

q = load("filters")


def to_clause(node: Node, now: float, noticed: Noticed = NOTHING_NOTICED) -> Clause:
    """The jobs that `matches(node, …, now)` holds for; `now` in Unix seconds."""
    match node:
        case And(operands):
            return _joined(" AND ", (to_clause(operand, now, noticed) for operand in operands))
        case Or(operands):
            return _joined(" OR ", (to_clause(operand, now, noticed) for operand in operands))
        case Not(operand):
            inner = to_clause(operand, now, noticed)
            return Clause(f"NOT ({inner.sql or 'TRUE'})", inner.arguments)
        case StateTest(state):
            return Clause("job.state = ?", (state.value,))
        case FindingTest(kind):
            return Clause("job.id IN (SELECT value FROM json_each(?))", (rows.dump(list(noticed.get(kind, ()))),))
        case TextTest(field, operator, value):
            return _text(f"job.{field}", operator, value)
        case NumberTest(field, operator, value):
            return _number(field, operator, value, now)
        case LabelTest(label, operator, value):
            return _label(label, operator, value)


def _joined(word: str, clauses: Iterable[Clause]) -> Clause:
    parts = list(clauses)
    text = word.join(f"({part.sql or 'TRUE'})" for part in parts)
    return Clause(text, tuple(argument for part in parts for argument in part.arguments))


def _text(column: str, operator: Operator, value: str) -> Clause:
    if operator is Operator.HAS:
        return Clause(f"instr(lower({column}), ?) > 0", (fold(value),))
    return Clause(f"{column} {operator.value} ?", (value,))


def _number(field: str, operator: Operator, value: float, now: float) -> Clause:
    match field:
        case "age":
            return Clause(f"? - job.create_time {operator.value} ?", (now, value))
        case "idle":
            return Clause(f"? - job.activity_time {operator.value} ?", (now, value))
        case "priority" | "create_time" | "activity_time":
            return Clause(f"job.{field} {operator.value} ?", (value,))
        case _:
            return Clause(f"(SELECT {field} FROM ({q.counts})) {operator.value} ?", (value,))


def _label(label: str, operator: Operator, value: str) -> Clause:
    """A label that is missing equals no value: `!=` is the negation of `=`."""
    positive = Operator.EQUAL if operator is Operator.UNEQUAL else operator
    test = _text("job_label.value", positive, value)
    exists = f"EXISTS ({q.label} AND {test.sql})"
    return Clause(f"{'NOT ' if operator is Operator.UNEQUAL else ''}{exists}", (label, *test.arguments))
