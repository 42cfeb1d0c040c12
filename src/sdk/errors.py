"""What a step raises to say how its error is to be treated, and what an author's mistake is."""

from __future__ import annotations


class TaskError(Exception):
    """Base of the errors that a step raises on purpose.

    `remedy` says in words what a person can do; it is stored with the attempt and shown next to the message.
    """

    error_class = "error"

    def __init__(self, message: str = "", *, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy


class Transient(TaskError):  # noqa: N818 (the word an author writes: `raise Transient(...)`)
    """Another attempt may well succeed: retried by the step's policy."""

    error_class = "transient"


class Persistent(TaskError):  # noqa: N818
    """Another attempt cannot succeed: the item fails at once."""

    error_class = "persistent"


class UnusableInput(TaskError):  # noqa: N818
    """The job's input cannot be used as it is: another attempt, or a resume, reads the same copy of it."""

    error_class = "corrupt_source"


class RateLimited(TaskError):  # noqa: N818
    """The other side asked to wait: retried no sooner than after `after` seconds (or "30s", "2m")."""

    error_class = "rate_limited"

    def __init__(self, after: float | str = 0, message: str = "", *, remedy: str = "") -> None:
        from milepost.sdk.durations import seconds

        self.after = 0.0 if after == 0 else seconds(after)
        super().__init__(message or f"Rate limited; asked to wait {self.after:g} s.", remedy=remedy)


class NeedsOperator(TaskError):  # noqa: N818
    """A person has to do something first; the message says what."""

    error_class = "needs_operator"


class Mistake(Exception):  # noqa: N818
    """A mistake in a pipeline's declaration, with the author's file and line (0 if unknown)."""

    def __init__(self, message: str, file: str = "", line: int = 0) -> None:
        super().__init__(f"{file}:{line}: {message}" if file else message)
        self.message = message
        self.file = file
        self.line = line
