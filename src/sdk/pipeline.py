"""How a pipeline is declared. Every mistake is told where it is made: with file, line and what to write instead."""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING, Any, Callable, TypeVar, overload

from milepost.sdk import durations
from milepost.sdk.errors import Mistake

if TYPE_CHECKING:
    from collections.abc import Iterator

Function = TypeVar("Function", bound=Callable[..., Any])  # Any: an author's function takes and returns what it likes

ITEMS = "items"
MAX_STEPS = 100
MAX_TEXT = 64
_STEP_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
_SDK_FOLDER = os.path.dirname(os.path.abspath(__file__)) + os.sep  # noqa: PTH100, PTH120 (pathlib is not loaded for this)


class Retry:
    """How often and when a failed task is tried again: `attempts` in all, after base, base x factor, ..., at most cap.

    Raises Mistake for what is not possible.
    """

    __slots__ = ("attempts", "base", "cap", "factor")

    def __init__(
        self, attempts: int = 3, base: float | str = 5.0, factor: float = 2.0, cap: float | str = 60.0
    ) -> None:
        self.attempts = _whole("Retry(attempts=...)", attempts, 1, 1000)
        self.base = _duration("Retry(base=...)", base, zero=True)
        self.cap = _duration("Retry(cap=...)", cap, zero=True)
        self.factor = _factor(factor)

    def __repr__(self) -> str:
        return f"Retry(attempts={self.attempts}, base={self.base:g}, factor={self.factor:g}, cap={self.cap:g})"


class Step:
    """One stage as it was declared. `executor` is async, thread or process; `key` names the field of a child's key."""

    __slots__ = (
        "barrier",
        "concurrency",
        "enumerates",
        "executor",
        "file",
        "function",
        "gives",
        "key",
        "line",
        "name",
        "retry",
        "takes",
        "timeout",
        "workers",
    )

    def __init__(
        self,
        function: Callable[..., Any],  # Any: the author's
        name: str,
        takes: str = "each",
        gives: str = "one",
        executor: str = "thread",
        *,
        enumerates: bool = False,
        barrier: bool = False,
        concurrency: int = 0,
        workers: int = 0,
        timeout: float | str | None = None,
        retry: Retry | None = None,
        key: str | None = None,
    ) -> None:
        self.function = function
        self.name = name
        self.takes = takes
        self.gives = gives
        self.executor = executor
        self.enumerates = enumerates
        self.barrier = barrier
        self.concurrency = concurrency
        self.workers = workers
        self.timeout = timeout
        self.retry = retry or Retry()
        self.key = key
        self.file, self.line = _place_of(function)


class Pipeline:
    """An ordered list of steps: the order of their declaration.

    `key` names the field of an item that identifies it (without it, items are known by their number, from 1).
    `on_duplicate` says what becomes of an item whose key was already seen: "skip" (recorded as skipped), "keep" (runs
    under "<key>#<position>") or "fail" (fails the enumeration). Raises Mistake for what is not possible.
    """

    def __init__(self, name: str, key: str | None = None, on_duplicate: str = "skip") -> None:
        self.name = _text("Pipeline(name)", name)
        self.key = None if key is None else _text("Pipeline(key=...)", key)
        self.on_duplicate = _choice("Pipeline(on_duplicate=...)", on_duplicate, ("skip", "keep", "fail"))
        self.file, self.line = _caller()
        self._steps: list[Step] = []

    def items(self, function: Function) -> Function:
        """Declares the function (or generator, also async) that is given the job and gives the items, as dicts."""
        step = Step(function, ITEMS, gives="many", executor="thread", enumerates=True, key=self.key)
        _check_callable(function, "@items", step, ("job",))
        if any(known.enumerates for known in self._steps):
            raise Mistake("A pipeline has one function for its items; this is the second @items.", step.file, step.line)
        if any(known.gives == "many" for known in self._steps):
            raise Mistake(
                "@items must come before the steps that give many: it enumerates for the job as a whole.",
                step.file,
                step.line,
            )
        step.executor = "async" if _kind(function) in ("coroutine", "async generator") else "thread"
        self._add(step)
        return function

    @overload
    def step(self, function: Function, /) -> Function: ...

    @overload
    def step(
        self,
        function: None = None,
        /,
        *,
        name: str | None = None,
        retry: Retry | None = None,
        timeout: float | str | None = None,
        concurrency: int | None = None,
        workers: int | None = None,
        takes: str = "each",
        gives: str = "one",
        barrier: bool = False,
        key: str | None = None,
    ) -> Callable[[Function], Function]: ...

    def step(
        self,
        function: Function | None = None,
        /,
        *,
        name: str | None = None,
        retry: Retry | None = None,
        timeout: float | str | None = None,
        concurrency: int | None = None,
        workers: int | None = None,
        takes: str = "each",
        gives: str = "one",
        barrier: bool = False,
        key: str | None = None,
    ) -> Function | Callable[[Function], Function]:
        """Declares a step, bare (`@p.step`) or with options. The function stays as it is, so tests may call it.

        `async def` runs on a worker's event loop, `def` in its threads; with `workers=N` a `def` runs in N processes of
        its own (CPU work). `takes="each"`: called with (item, task); `takes="all"`: once, with (results, task), after
        every item. `gives="many"`: it returns or yields dicts, at most 10,000, that are items of the next step; `key`
        names their key field, else a child is known as "<key of its parent>/<number>". `timeout` ends one attempt:
        a duration, or a kind of operation ("processing", "generation", "api", "file") whose time is in the settings;
        `concurrency` limits how many run at a time; `barrier=True` waits until the step before has ended.
        """

        def declare(declared: Function) -> Function:
            place = Step(declared, str(name or getattr(declared, "__name__", "")))
            try:
                step = self._declared(place, retry, timeout, concurrency, workers, takes, gives, barrier, key)
            except Mistake as mistake:
                raise Mistake(f"Step {place.name}: {mistake.message}", place.file, place.line) from None
            self._add(step)
            return declared

        return declare if function is None else declare(function)

    def steps(self, *, inline: bool = False) -> list[Step]:
        """The steps in order; with `inline`, a pipeline without @items is given those of the input's lines.

        Raises Mistake for what only the whole pipeline shows.
        """
        steps = list(self._steps)
        if inline and not any(step.enumerates for step in steps):
            steps.insert(0, inline_items(self.key))
        if all(step.enumerates for step in steps):
            raise Mistake(f"The pipeline {self.name} has no step; declare one with @....step.", self.file, self.line)
        opened = False
        for step in steps:
            if step.takes == "all" and not opened:
                raise Mistake(
                    f'Step {step.name} takes="all", but nothing before it gives items: '
                    "declare @....items before it, or submit with inline items.",
                    step.file,
                    step.line,
                )
            opened = opened or step.gives == "many"
        return steps

    def _declared(
        self,
        place: Step,
        retry: Retry | None,
        timeout: float | str | None,
        concurrency: int | None,
        workers: int | None,
        takes: str,
        gives: str,
        barrier: bool,
        key: str | None,
    ) -> Step:
        _check_step_name(place.name)
        takes = _choice("takes", takes, ("each", "all"))
        gives = _choice("gives", gives, ("one", "many"))
        _check_callable(place.function, f"Step {place.name}", place, ("results" if takes == "all" else "item", "task"))
        kind = _kind(place.function)
        if "generator" in kind and gives == "one":
            raise _mistake('it yields, so it gives many: write gives="many", or return one result.')
        if key is not None and gives == "one":
            raise _mistake('key=... names the key field of children: only with gives="many".')
        processes = 0 if workers is None else _whole("workers", workers, 1, 256)
        on_loop = kind in ("coroutine", "async generator")
        if on_loop and processes:
            raise _mistake("an `async def` runs on one event loop; write `def`, or leave workers out.")
        return Step(
            place.function,
            place.name,
            takes,
            gives,
            "async" if on_loop else "process" if processes else "thread",
            barrier=bool(barrier),
            concurrency=0 if concurrency is None else _whole("concurrency", concurrency, 1, 100_000),
            workers=processes,
            timeout=None if timeout is None else _timeout(timeout),
            retry=_retry(retry),
            key=None if key is None else _text("key", key),
        )

    def _add(self, step: Step) -> None:
        if any(known.name == step.name for known in self._steps):
            raise Mistake(f"Two steps are named {step.name!r}; give one another name=....", step.file, step.line)
        if len(self._steps) == MAX_STEPS:
            raise Mistake(f"A pipeline has at most {MAX_STEPS} steps.", step.file, step.line)
        self._steps.append(step)


def inline_items(key: str | None) -> Step:
    """The items step of a pipeline without one: each line of the input is one JSON object."""
    return Step(_read_lines, ITEMS, gives="many", executor="thread", enumerates=True, key=key)


def _read_lines(job: Any) -> Iterator[object]:  # Any: a Job; naming its type here would import it early
    import json

    with job.open_input() as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                try:
                    yield json.loads(line)
                except ValueError as error:
                    raise ValueError(f"Line {number} of the items is not JSON: {error}.") from None


def _kind(function: object) -> str:
    import inspect

    if inspect.iscoroutinefunction(function):
        return "coroutine"
    if inspect.isasyncgenfunction(function):
        return "async generator"
    return "generator" if inspect.isgeneratorfunction(function) else "function"


def _check_callable(function: object, what: str, step: Step, parameters: tuple[str, ...]) -> None:
    import inspect

    wanted = ", ".join(parameters)
    if not callable(function):
        raise Mistake(f"{what}: {function!r} is not a function; write it above a `def`.", step.file, step.line)
    try:
        inspect.signature(function).bind(*parameters)
    except TypeError:
        name = getattr(function, "__name__", repr(function))
        raise Mistake(f"{what} must take ({wanted}): write `def {name}({wanted})`.", step.file, step.line) from None
    except ValueError:
        return  # a built-in without a signature: calling it will tell


def _check_step_name(name: object) -> None:
    if not isinstance(name, str) or not _STEP_NAME.fullmatch(name):
        raise _mistake(f"{name!r} is no name for a step: letters, digits, _ . -, at most 64; write name=....")
    if name == ITEMS:
        raise _mistake(f"the name {ITEMS!r} is that of the enumeration; write name=....")


def _text(what: str, value: object) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_TEXT or not value.isprintable():
        raise _mistake(f"{what} is {value!r}; write a printable text of 1 to {MAX_TEXT} characters.")
    return value


def _factor(value: object) -> float:
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 1 <= value <= 1000:
        raise _mistake(f"Retry(factor=...) is {value!r}; write a number from 1 to 1000: 2 doubles the delay each time.")
    return float(value)


def _retry(value: object) -> Retry | None:
    if value is not None and not isinstance(value, Retry):
        raise _mistake(f"retry is {value!r}; write retry=Retry(attempts=4).")
    return value


def _choice(what: str, value: object, choices: tuple[str, ...]) -> str:
    if not isinstance(value, str) or value not in choices:
        raise _mistake(f"{what} is {value!r}; write " + " or ".join(f'"{choice}"' for choice in choices) + ".")
    return value


def _whole(what: str, value: object, low: int, high: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise _mistake(f"{what} is {value!r}; write a whole number from {low} to {high}.")
    return value


def _timeout(value: float | str) -> float | str:
    try:
        return durations.timeout(value)
    except ValueError as error:
        raise _mistake(f"timeout: {error}.") from None


def _duration(what: str, value: float | str, *, zero: bool = False) -> float:
    if zero and value == 0:
        return 0.0
    try:
        return durations.seconds(value)
    except ValueError as error:
        raise _mistake(f"{what}: {error}.") from None


def _mistake(message: str) -> Mistake:
    return Mistake(message, *_caller())


def _caller() -> tuple[str, int]:
    """File and line of the nearest frame that is not the SDK's."""
    frame = sys._getframe(1)  # noqa: SLF001 (inspect.currentframe is the same, and slow to import)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_SDK_FOLDER):
        frame = frame.f_back
    return frame.f_code.co_filename, frame.f_lineno


def _place_of(function: object) -> tuple[str, int]:
    function = getattr(function, "__wrapped__", function)
    code = getattr(getattr(function, "func", function), "__code__", None)
    return (code.co_filename, code.co_firstlineno) if code is not None else _caller()
