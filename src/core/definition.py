"""The shape of a pipeline: its steps, the lines of items through them, and where an item goes next.

A *line* is a chain of steps that the same items go through. Line 0 is the job's root item. A step that gives many
children opens a new line for them; a step that takes all items of the line before it is a task of the root, so it
belongs to line 0 again. An item goes on along its own line only.

The JSON form (`from_json`, `to_json`) is what the worker's `describe` prints and what the store keeps. It comes from
the author's interpreter, so reading it checks everything.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import cached_property, lru_cache
from typing import Any

from milepost.core.errors import Code, MilepostError

MAX_STEPS = 100
MAX_NAME = 64
MAX_SECONDS = 10 * 365 * 86400.0
MAX_FACTOR = 1000.0
_STEP_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*")


class Takes(StrEnum):
    EACH = "each"
    ALL = "all"


class Gives(StrEnum):
    ONE = "one"
    MANY = "many"


class Executor(StrEnum):
    """Where a task runs: on a worker's event loop, in its threads, alone in a worker of its own, or as a command."""

    ASYNC = "async"
    THREAD = "thread"
    PROCESS = "process"
    COMMAND = "command"


class OnDuplicate(StrEnum):
    """What becomes of an item whose key was already seen in the same enumeration."""

    SKIP = "skip"  # recorded as skipped with label "duplicate" at the first step of its line
    KEEP = "keep"  # runs under the key "<key>#<position>"
    FAIL = "fail"  # fails the enumeration


@dataclass(frozen=True)
class RetryPolicy:
    """`attempts` in all; delays in seconds: base, base x factor, … at most cap. The defaults are those of R3."""

    attempts: int = 3
    base: float = 5.0
    factor: float = 2.0
    cap: float = 60.0


@dataclass(frozen=True)
class StepDefinition:
    """`line` is that of the items it takes (0 when it takes all); `feeds` that of its children (gives many)."""

    position: int
    name: str
    takes: Takes
    gives: Gives
    executor: Executor
    line: int
    feeds: int | None = None
    #: True for the expansion of the root by `@pipeline.items`, whose children come in chunks.
    enumerates: bool = False
    barrier: bool = False
    concurrency: int = 0  # 0: no limit of its own
    workers: int = 0  # processes of its own; 0: the shared worker
    timeout: float | None = None
    retry: RetryPolicy = RetryPolicy()
    fingerprint: str = ""
    line_number: int = 0  # in the author's file


@dataclass(frozen=True)
class PipelineDefinition:
    name: str
    steps: tuple[StepDefinition, ...]
    key: str | None = None
    on_duplicate: OnDuplicate = OnDuplicate.SKIP
    command: tuple[str, ...] = ()

    def step_named(self, name: str) -> StepDefinition:
        """Raises MilepostError(UNKNOWN_STEP) that lists the steps there are."""
        for step in self.steps:
            if step.name == name:
                return step
        names = ", ".join(step.name for step in self.steps)
        raise MilepostError(
            Code.UNKNOWN_STEP, f"The pipeline {self.name} has no step {name!r}.", f"Its steps are: {names}."
        )

    def line_of_children(self, step: int) -> StepDefinition | None:
        """First step of the line that the children of this step go through; None when nothing follows."""
        feeds = self.steps[step].feeds
        return next((s for s in self.steps[step + 1 :] if s.line == feeds), None) if feeds is not None else None

    def next_step(self, step: int) -> int | None:
        """Where an item goes whose task at this step succeeded; None when it is through."""
        return self._next_steps[step]

    @cached_property
    def _next_steps(self) -> tuple[int | None, ...]:
        return tuple(
            next((later.position for later in self.steps[step.position + 1 :] if later.line == step.line), None)
            for step in self.steps
        )

    def steps_before(self, step: int) -> list[int]:
        """The steps that an item which stands at this one has passed: those of its line."""
        line = self.steps[step].line
        return [earlier.position for earlier in self.steps[:step] if earlier.line == line]

    def is_gated(self, step: int) -> bool:
        """True when tasks of this step wait until every step before it has ended."""
        definition = self.steps[step]
        return definition.takes is Takes.ALL or definition.barrier

    def continues_in_runner(self, step: int) -> int | None:
        """The next step, if the runner may take the item there itself without asking the daemon."""
        return self._continuations[step]

    @cached_property
    def _continuations(self) -> tuple[int | None, ...]:
        return tuple(
            following if following == step + 1 and not self.is_gated(following) else None
            for step, following in enumerate(self._next_steps)
        )

    @cached_property
    def item_line(self) -> int:
        """The line that a person means by "items": the first one below the root, else the root's own."""
        return next((s.feeds for s in self.steps if s.feeds is not None), 0)

    @cached_property
    def lines(self) -> tuple[int, ...]:
        """By step."""
        return tuple(step.line for step in self.steps)

    @cached_property
    def root_steps(self) -> tuple[int, ...]:
        """The steps whose task is the root's."""
        return tuple(step.position for step in self.steps if step.line == 0)

    @cached_property
    def item_steps(self) -> tuple[int, ...]:
        """The steps that take the items of that line."""
        return tuple(step.position for step in self.steps if step.line == self.item_line)

    @cached_property
    def counted_steps(self) -> tuple[int, ...]:
        """The steps that a job's progress is counted by: all but the enumeration of items."""
        return tuple(step.position for step in self.steps if not step.enumerates)


def lines_for(steps: list[StepDefinition]) -> tuple[StepDefinition, ...]:
    """Gives each step its position, line and feeds, from what it takes and gives."""
    placed: list[StepDefinition] = []
    current = opened = 0
    for position, step in enumerate(steps):
        line = 0 if step.takes is Takes.ALL else current
        feeds = None
        if step.gives is Gives.MANY:
            opened += 1
            feeds = opened
        current = line if feeds is None else feeds
        placed.append(StepDefinition(**{**_fields(step), "position": position, "line": line, "feeds": feeds}))
    return tuple(placed)


def command_pipeline(
    argv: tuple[str, ...], concurrency: int, attempts: int, timeout: float | None
) -> PipelineDefinition:
    """A pipeline that runs a command for each line of its input: the runner does both steps itself."""
    retry = RetryPolicy(attempts=attempts or RetryPolicy.attempts)
    enumeration = StepDefinition(0, "items", Takes.EACH, Gives.MANY, Executor.COMMAND, 0, enumerates=True)
    execution = StepDefinition(
        1, "run", Takes.EACH, Gives.ONE, Executor.COMMAND, 1, concurrency=concurrency, timeout=timeout, retry=retry
    )
    name = argv[0].rsplit("/", 1)[-1][:MAX_NAME]
    return PipelineDefinition(name, lines_for([enumeration, execution]), on_duplicate=OnDuplicate.KEEP, command=argv)


def resolve_timeouts(text: str, presets: Mapping[str, float]) -> str:
    """The same definition with seconds where a step's time-out names a kind of operation.

    Raises MilepostError(PIPELINE_INVALID) for a kind that has no preset.
    """
    try:
        document = json.loads(text)
        for step in _list(document, "steps"):
            timeout = step.get("timeout")
            if isinstance(timeout, str):
                if timeout not in presets:
                    raise _invalid(f"the time-out {timeout!r} is none of {', '.join(presets)}")
                step["timeout"] = presets[timeout]
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise _invalid(str(error)) from error
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False)


def to_json(definition: PipelineDefinition) -> str:
    return json.dumps(asdict(definition), separators=(",", ":"), ensure_ascii=False)


@lru_cache(maxsize=256)
def from_json(text: str) -> PipelineDefinition:
    """Raises MilepostError(PIPELINE_INVALID) that names the field.

    Results are kept by their text: every decision about a job begins with its definition.
    """
    try:
        document = json.loads(text)
        steps = [_step(position, data) for position, data in enumerate(_list(document, "steps"))]
        if not 1 <= len(steps) <= MAX_STEPS:
            raise _invalid(f"it has {len(steps)} steps; 1 to {MAX_STEPS} are possible")
        names = [step.name for step in steps]
        if len(set(names)) != len(names):
            raise _invalid("two steps have the same name")
        return PipelineDefinition(
            name=_name(document, "name"),
            steps=lines_for(steps),
            key=_optional_text(document, "key"),
            on_duplicate=OnDuplicate(document.get("on_duplicate", OnDuplicate.SKIP)),
            command=tuple(str(part) for part in document.get("command", ())),
        )
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise _invalid(str(error)) from error


def _step(position: int, data: Mapping[str, Any]) -> StepDefinition:  # Any: a JSON object, checked here
    retry = data.get("retry") or {}
    timeout = data.get("timeout")
    return StepDefinition(
        position=position,
        name=_step_name(data),
        takes=Takes(data.get("takes", Takes.EACH)),
        gives=Gives(data.get("gives", Gives.ONE)),
        executor=Executor(data["executor"]),
        line=0,
        enumerates=bool(data.get("enumerates", False)),
        barrier=bool(data.get("barrier", False)),
        concurrency=_whole(data, "concurrency", 0, 100_000),
        workers=_whole(data, "workers", 0, 256),
        timeout=None if timeout is None else _positive("timeout", timeout),
        retry=RetryPolicy(
            attempts=_whole(retry, "attempts", 1, 1000, RetryPolicy.attempts),
            base=_positive("retry.base", retry.get("base", RetryPolicy.base), zero=True),
            factor=_positive("retry.factor", retry.get("factor", RetryPolicy.factor), MAX_FACTOR),
            cap=_positive("retry.cap", retry.get("cap", RetryPolicy.cap), zero=True),
        ),
        fingerprint=str(data.get("fingerprint", "")),
        line_number=_whole(data, "line_number", 0, 10_000_000),
    )


def _fields(step: StepDefinition) -> dict[str, Any]:  # Any: the fields of a dataclass
    return {name: getattr(step, name) for name in StepDefinition.__dataclass_fields__}


def _list(document: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    value = document[name]
    if not isinstance(value, list):
        raise TypeError(f"{name} is not a list")
    return value


def _name(data: Mapping[str, Any], field: str) -> str:
    value = data[field]
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_NAME or not value.isprintable():
        raise ValueError(f"{field} {value!r} is not a printable text of 1 to {MAX_NAME} characters")
    return value


def _step_name(data: Mapping[str, Any]) -> str:
    """A step's name is the name of a folder, too."""
    name = _name(data, "name")
    if not _STEP_NAME.fullmatch(name):
        raise ValueError(f"the step's name {name!r} has more than letters, digits, '_', '-' and inner '.'")
    return name


def _optional_text(data: Mapping[str, Any], field: str) -> str | None:
    value = data.get(field)
    if value is not None and not isinstance(value, str):
        raise TypeError(f"{field} is not a text")
    return value


def _whole(data: Mapping[str, Any], field: str, low: int, high: int, default: int = 0) -> int:
    value = data.get(field, default)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ValueError(f"{field} {value!r} is not a whole number from {low} to {high}")
    return value


def _positive(field: str, value: object, most: float = MAX_SECONDS, *, zero: bool = False) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError(f"{field} {value!r} is not a number")
    if not (0 < value <= most or (zero and value == 0)):
        raise ValueError(f"{field} {value!r} is not a positive number up to {most:g}")
    return float(value)


def _invalid(detail: str) -> MilepostError:
    return MilepostError(
        Code.PIPELINE_INVALID,
        f"The pipeline's definition is not usable: {detail}.",
        "Correct the pipeline and submit again.",
    )
