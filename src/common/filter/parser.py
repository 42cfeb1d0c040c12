"""From the text of a filter to its syntax tree."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NoReturn

from milepost.common.filter.tree import (
    COMPARISONS,
    EVERYTHING,
    FIELDS,
    TEXT_OPERATORS,
    And,
    FindingTest,
    Kind,
    LabelTest,
    Node,
    Not,
    NumberTest,
    Operator,
    Or,
    StateTest,
    TextTest,
)
from milepost.core.errors import Code, MilepostError
from milepost.core.model import FindingKind, JobState

MAX_LENGTH = 2000
MAX_TERMS = 100
MAX_DEPTH = 20
MAX_SECONDS = 1e12


@dataclass(frozen=True)
class _Token:
    kind: str  # "word", "quoted", "operator", "(", ")", "-", "end"
    text: str
    column: int  # from 1

    def is_word(self, *texts: str) -> bool:
        return self.kind == "word" and self.text in texts


_TOKENS = re.compile(
    r"""(?P<space>\s+)
    | (?P<quoted>"(?:[^"\\]|\\.)*" | '(?:[^'\\]|\\.)*')
    | (?P<operator><=|>=|!=|=|<|>|:)
    | (?P<paren>[()])
    | (?P<minus>-(?=[^\s\d]))
    | (?P<word>[^\s()<>=!:"']+)""",
    re.VERBOSE,
)
_WHOLE_NUMBER = re.compile(r"-?[0-9]{1,15}")
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(s|m|h|d|w)")
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}


def parse(text: str) -> Node:
    """Makes the syntax tree; an empty text asks for every job.

    Raises MilepostError(INVALID_FILTER) with the column (from 1) and what is possible there.
    """
    if len(text) > MAX_LENGTH:
        raise _invalid(f"it has {len(text)} characters; {MAX_LENGTH} are possible", MAX_LENGTH + 1)
    if not text.strip():
        return EVERYTHING
    return _Parser(list(_tokens(text))).whole()


def _tokens(text: str) -> Iterator[_Token]:
    at = 0
    while at < len(text):
        found = _TOKENS.match(text, at)
        if found is None:
            problem = "a quote is not closed" if text[at] in "\"'" else f"{text[at]!r} is not expected here"
            raise _invalid(problem, at + 1)
        kind, part = str(found.lastgroup), found.group()
        if any(ord(letter) < 32 or 0xD800 <= ord(letter) <= 0xDFFF for letter in part) and kind != "space":
            raise _invalid("control characters are not possible", at + 1)
        if kind in ("paren", "minus"):
            kind = part
        if kind == "quoted":
            part = re.sub(r"\\(.)", r"\1", part[1:-1])
        if kind != "space":
            yield _Token(kind, part, at + 1)
        at = found.end()
    yield _Token("end", "", len(text) + 1)


class _Parser:
    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._at = 0
        self._depth = 0
        self._terms = 0

    def whole(self) -> Node:
        node = self._conjunction()
        if self._next.kind != "end":
            self._refuse(f"{self._next.text!r} is not expected here")
        return node

    @property
    def _next(self) -> _Token:
        return self._tokens[self._at]

    def _take(self) -> _Token:
        token = self._next
        self._at += 1
        return token

    def _conjunction(self) -> Node:
        operands = [self._disjunction()]
        while not (self._next.kind in ("end", ")") or self._next.is_word("OR")):
            if self._next.is_word("AND"):
                self._take()
            operands.append(self._disjunction())
        return operands[0] if len(operands) == 1 else And(tuple(operands))

    def _disjunction(self) -> Node:
        operands = [self._factor()]
        while self._next.is_word("OR"):
            self._take()
            operands.append(self._factor())
        return operands[0] if len(operands) == 1 else Or(tuple(operands))

    def _factor(self) -> Node:
        if self._next.is_word("NOT") or self._next.kind == "-":
            self._take()
            return Not(self._nested(self._factor))
        if self._next.kind == "(":
            self._take()
            node = self._nested(self._conjunction)
            if self._next.kind != ")":
                self._refuse("a closing parenthesis is missing")
            self._take()
            return node
        return self._term()

    def _nested(self, rule: Callable[[], Node]) -> Node:
        if self._depth == MAX_DEPTH:
            self._refuse(f"it is nested deeper than {MAX_DEPTH}")
        self._depth += 1
        node = rule()
        self._depth -= 1
        return node

    def _term(self) -> Node:
        self._terms += 1
        if self._terms > MAX_TERMS:
            self._refuse(f"it has more than {MAX_TERMS} terms")
        token = self._next
        if token.kind == "quoted":
            self._take()
            if self._next.kind == "operator":
                self._refuse("a field is not written in quotes", token)
            return TextTest("name", Operator.HAS, token.text)
        if token.kind != "word" or token.text in ("AND", "OR"):
            self._refuse("a word or a comparison is missing")
        self._take()
        if self._next.kind != "operator":
            return TextTest("name", Operator.HAS, token.text)
        return self._comparison(token, self._take())

    def _comparison(self, field: _Token, sign: _Token) -> Node:
        value = self._value(field)
        op = Operator(sign.text)
        if field.text == "label" and op is Operator.HAS:
            return LabelTest(value.text, Operator.HAS, "")
        if field.text.startswith("label.") and len(field.text) > len("label."):
            self._check_operator(field, sign, TEXT_OPERATORS)
            return LabelTest(field.text.removeprefix("label."), op, value.text)
        kind = FIELDS.get(field.text)
        if kind is None:
            self._refuse(f"there is no field {field.text!r}", field, f"Fields: {', '.join(FIELDS)}, label.NAME.")
        if kind is Kind.TEXT:
            self._check_operator(field, sign, TEXT_OPERATORS)
            return TextTest(field.text, op, value.text)
        if kind is Kind.STATE:
            self._check_operator(field, sign, TEXT_OPERATORS)
            test = StateTest(self._state(value))
            return Not(test) if op is Operator.UNEQUAL else test
        if kind is Kind.FINDING:
            self._check_operator(field, sign, TEXT_OPERATORS)
            noticed = FindingTest(self._finding(value))
            return Not(noticed) if op is Operator.UNEQUAL else noticed
        self._check_operator(field, sign, tuple(COMPARISONS))
        return NumberTest(field.text, op, self._quantity(kind, value))

    def _value(self, field: _Token) -> _Token:
        if self._next.kind not in ("word", "quoted"):
            self._refuse(f"a value for {field.text!r} is missing")
        value = self._take()
        # A time of day has colons, which are operators elsewhere.
        while value.kind == "word" and self._next.text == ":" and self._tokens[self._at + 1].kind == "word":
            self._take()
            value = _Token("word", f"{value.text}:{self._take().text}", value.column)
        return value

    def _check_operator(self, field: _Token, sign: _Token, possible: tuple[Operator, ...]) -> None:
        if sign.text not in possible:
            self._refuse(
                f"{field.text!r} cannot be compared with {sign.text!r}", sign, f"Possible: {' '.join(possible)}"
            )

    def _state(self, value: _Token) -> JobState:
        try:
            return JobState(value.text.upper())
        except ValueError:
            self._refuse(f"there is no state {value.text!r}", value, f"States: {', '.join(JobState)}.")

    def _finding(self, value: _Token) -> FindingKind:
        try:
            return FindingKind(value.text.upper().replace(" ", "_"))
        except ValueError:
            self._refuse(f"there is no finding {value.text!r}", value, f"Findings: {', '.join(FindingKind)}.")

    def _quantity(self, kind: Kind, value: _Token) -> float:
        if kind is Kind.DURATION:
            parts = _DURATION.fullmatch(value.text)
            if parts is None or float(parts[1]) * _SECONDS[parts[2]] > MAX_SECONDS:
                self._refuse(f"{value.text!r} is not a duration", value, "Write it as 90s, 15m, 2h, 1.5d or 1w.")
            return float(parts[1]) * _SECONDS[parts[2]]
        if kind is Kind.TIME:
            try:
                moment = datetime.fromisoformat(value.text)
                return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
            except (ValueError, OverflowError):
                self._refuse(f"{value.text!r} is not a time", value, "Write it as 2026-01-31T08:00:00Z.")
        if not _WHOLE_NUMBER.fullmatch(value.text):
            self._refuse(f"{value.text!r} is not a whole number", value)
        return float(value.text)

    def _refuse(self, problem: str, token: _Token | None = None, remedy: str = "") -> NoReturn:
        raise _invalid(problem, (token or self._next).column, remedy)


def _invalid(problem: str, column: int, remedy: str = "") -> MilepostError:
    return MilepostError(
        Code.INVALID_FILTER,
        f"The filter cannot be read: {problem} (column {column}).",
        remedy or 'Write it as: state = FAILED AND label.team = "x" AND failed > 0; bare words match the name.',
        {"column": str(column)},
    )
