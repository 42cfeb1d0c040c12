"""What the exit status of a verb tells a script."""

from collections.abc import Iterable, Mapping
from enum import IntEnum

from milepost.core.errors import Code


class Exit(IntEnum):
    DONE = 0
    #: Or it did not get to its end: it was cancelled, paused by someone else, or waits.
    JOB_FAILED = 1
    USAGE = 2
    NOT_ALLOWED = 3
    NOT_FOUND = 4
    #: Or it cannot serve: its folder, its store, a time-out.
    UNREACHABLE = 5
    COMPLETED_WITH_FAILURES = 6
    INTERRUPTED = 130


EXIT_OF: Mapping[Code, Exit] = {
    Code.INVALID_ARGUMENT: Exit.USAGE,
    Code.INVALID_FILTER: Exit.USAGE,
    Code.INVALID_PAGE_TOKEN: Exit.USAGE,
    Code.TOO_LARGE: Exit.USAGE,
    Code.UNKNOWN_STEP: Exit.USAGE,
    Code.PIPELINE_INVALID: Exit.USAGE,
    Code.PIPELINE_NOT_IMPORTABLE: Exit.USAGE,
    Code.INPUT_UNREADABLE: Exit.USAGE,
    Code.INTERPRETER_UNUSABLE: Exit.USAGE,
    Code.REQUEST_ID_REUSED: Exit.USAGE,
    Code.SETTING_INVALID: Exit.USAGE,
    Code.JOB_NOT_FOUND: Exit.NOT_FOUND,
    Code.JOB_AMBIGUOUS: Exit.NOT_FOUND,
    Code.NOT_ALLOWED: Exit.NOT_ALLOWED,
    Code.DUPLICATE_JOB: Exit.NOT_ALLOWED,
    Code.NOTHING_FAILED: Exit.NOT_ALLOWED,
    Code.PAUSE_FILE: Exit.NOT_ALLOWED,
    Code.JOB_CHANGING: Exit.NOT_ALLOWED,
    Code.RUN_FENCED: Exit.NOT_ALLOWED,
    Code.PROTOCOL_MISMATCH: Exit.NOT_ALLOWED,
    Code.DAEMON_UNREACHABLE: Exit.UNREACHABLE,
    Code.DAEMON_ALREADY_RUNNING: Exit.UNREACHABLE,
    Code.DAEMON_STOPPING: Exit.UNREACHABLE,
    Code.STATE_FOLDER_FOREIGN: Exit.UNREACHABLE,
    Code.STORE_NEWER: Exit.UNREACHABLE,
    Code.STORE_UNUSABLE: Exit.UNREACHABLE,
    Code.STORE_FULL: Exit.UNREACHABLE,
    Code.UNSUPPORTED_PLATFORM: Exit.UNREACHABLE,
    Code.TIMED_OUT: Exit.UNREACHABLE,
    Code.INTERNAL: Exit.UNREACHABLE,
}

_WORST_FIRST = (
    Exit.UNREACHABLE,
    Exit.USAGE,
    Exit.NOT_FOUND,
    Exit.NOT_ALLOWED,
    Exit.INTERRUPTED,
    Exit.JOB_FAILED,
    Exit.COMPLETED_WITH_FAILURES,
    Exit.DONE,
)


def worst(codes: Iterable[Exit]) -> Exit:
    """Of several jobs; DONE for none."""
    return min(codes, key=_WORST_FIRST.index, default=Exit.DONE)
