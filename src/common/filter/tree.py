"""What a filter is (the syntax tree) and when a job matches it (the predicate)."""

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum
from functools import cached_property

from milepost.core.model import JobState


class Kind(Enum):
    TEXT = "text"
    STATE = "state"
    NUMBER = "number"
    DURATION = "duration"
    TIME = "time"


#: What can be asked about. The names are those of the fields of a job document.
FIELDS: Mapping[str, Kind] = {
    "id": Kind.TEXT,
    "name": Kind.TEXT,
    "pipeline": Kind.TEXT,
    "queue": Kind.TEXT,
    "state": Kind.STATE,
    "priority": Kind.NUMBER,
    "total": Kind.NUMBER,
    "succeeded": Kind.NUMBER,
    "failed": Kind.NUMBER,
    "skipped": Kind.NUMBER,
    "processed": Kind.NUMBER,
    "age": Kind.DURATION,
    "idle": Kind.DURATION,
    "create_time": Kind.TIME,
    "activity_time": Kind.TIME,
}


class Operator(StrEnum):
    EQUAL = "="
    UNEQUAL = "!="
    LESS = "<"
    AT_MOST = "<="
    MORE = ">"
    AT_LEAST = ">="
    HAS = ":"


COMPARISONS: Mapping[Operator, Callable[[float, float], bool]] = {
    Operator.EQUAL: operator.eq,
    Operator.UNEQUAL: operator.ne,
    Operator.LESS: operator.lt,
    Operator.AT_MOST: operator.le,
    Operator.MORE: operator.gt,
    Operator.AT_LEAST: operator.ge,
}
TEXT_OPERATORS = (Operator.EQUAL, Operator.UNEQUAL, Operator.HAS)


@dataclass(frozen=True)
class And:
    """Holds when every operand does; without operands, always."""

    operands: "tuple[Node, ...]"


@dataclass(frozen=True)
class Or:
    operands: "tuple[Node, ...]"


@dataclass(frozen=True)
class Not:
    operand: "Node"


@dataclass(frozen=True)
class TextTest:
    field: str
    operator: Operator
    value: str


@dataclass(frozen=True)
class StateTest:
    value: JobState


@dataclass(frozen=True)
class NumberTest:
    """Also of times (Unix seconds) and of durations (seconds before now)."""

    field: str
    operator: Operator
    value: float


@dataclass(frozen=True)
class LabelTest:
    """`HAS` is "contains"; with an empty value: there is such a label."""

    label: str
    operator: Operator
    value: str


Node = And | Or | Not | TextTest | StateTest | NumberTest | LabelTest

EVERYTHING = And(())


@dataclass(frozen=True)
class FilterSubject:
    """What a filter sees of a job; times are Unix seconds, counts those of the job (P1)."""

    id: str
    name: str
    state: JobState
    pipeline: str
    queue: str
    labels: Mapping[str, str]
    create_time: float
    activity_time: float
    priority: int = 0
    total: int = 0
    succeeded: int = 0
    failed: int = 0
    skipped: int = 0

    @property
    def processed(self) -> int:
        return self.succeeded + self.failed + self.skipped

    @cached_property
    def folded_name(self) -> str:
        return fold(self.name)


def fold(text: str) -> str:
    """Lower case for A to Z only: what SQLite's lower() does, so that both sides agree."""
    return text.translate(_ASCII_LOWER)


_ASCII_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


def matches(node: Node, subject: FilterSubject, now: float) -> bool:
    """Whether the job is one that the filter asks for; `now` (Unix seconds) is for `age` and `idle`."""
    match node:
        case And(operands):
            return all(matches(operand, subject, now) for operand in operands)
        case Or(operands):
            return any(matches(operand, subject, now) for operand in operands)
        case Not(operand):
            return not matches(operand, subject, now)
        case StateTest(value):
            return subject.state is value
        case TextTest(field, op, value):
            return _text_holds(op, getattr(subject, field), value)
        case LabelTest(label, op, value):
            held = subject.labels.get(label)
            return op is Operator.UNEQUAL if held is None else _text_holds(op, held, value)
        case NumberTest(field, op, value):
            return COMPARISONS[op](_number(subject, field, now), value)


def _text_holds(op: Operator, held: str, value: str) -> bool:
    if op is Operator.HAS:
        return fold(value) in fold(held)
    return (held == value) is (op is Operator.EQUAL)


def _number(subject: FilterSubject, field: str, now: float) -> float:
    match field:
        case "age":
            return now - subject.create_time
        case "idle":
            return now - subject.activity_time
        case _:
            return float(getattr(subject, field))
