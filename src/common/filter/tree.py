"""What a filter is (the syntax tree) and when a job matches it (the predicate)."""

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import NamedTuple, Protocol

from milepost.core.model import FindingKind, JobState


class Kind(Enum):
    TEXT = "text"
    STATE = "state"
    FINDING = "finding"
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
    "finding": Kind.FINDING,
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
class FindingTest:
    """Something of this kind is noticed about the job now."""

    value: FindingKind


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


Node = And | Or | Not | TextTest | StateTest | FindingTest | NumberTest | LabelTest

EVERYTHING = And(())


class Filterable(Protocol):
    """What a filter sees of a job; times are Unix seconds, counts those of the job (P1)."""

    @property
    def id(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def folded_name(self) -> str: ...
    @property
    def state(self) -> JobState: ...
    @property
    def pipeline(self) -> str: ...
    @property
    def queue(self) -> str: ...
    @property
    def labels(self) -> Mapping[str, str]: ...
    @property
    def create_time(self) -> float: ...
    @property
    def activity_time(self) -> float: ...
    @property
    def priority(self) -> int: ...
    @property
    def total(self) -> int: ...
    @property
    def succeeded(self) -> int: ...
    @property
    def failed(self) -> int: ...
    @property
    def skipped(self) -> int: ...
    @property
    def processed(self) -> int: ...
    @property
    def findings(self) -> frozenset[FindingKind]: ...


class FilterSubject(NamedTuple):
    """A `Filterable` and nothing else."""

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
    findings: frozenset[FindingKind] = frozenset()

    @property
    def processed(self) -> int:
        return self.succeeded + self.failed + self.skipped

    @property
    def folded_name(self) -> str:
        return fold(self.name)


def fold(text: str) -> str:
    """Lower case for A to Z only: what SQLite's lower() does, so that both sides agree."""
    return text.lower() if text.isascii() else text.translate(_ASCII_LOWER)


_ASCII_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


def matches(node: Node, subject: Filterable, now: float) -> bool:
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
        case FindingTest(value):
            return value in subject.findings
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


def _number(subject: Filterable, field: str, now: float) -> float:
    match field:
        case "age":
            return now - subject.create_time
        case "idle":
            return now - subject.activity_time
        case _:
            return float(getattr(subject, field))


def uses_time(node: Node) -> bool:
    """Whether the same job may match at one time and not at another."""
    match node:
        case And(operands) | Or(operands):
            return any(map(uses_time, operands))
        case Not(operand):
            return uses_time(operand)
        case NumberTest(field):
            return FIELDS[field] is Kind.DURATION
        case _:
            return False
