"""Errors with a stable code, in words for a person: what happened, why, and what to do now."""

from collections.abc import Mapping
from enum import StrEnum


class Code(StrEnum):
    """Stable reason codes; `common.wire` maps each to one gRPC status."""

    # The request itself is wrong.
    INVALID_ARGUMENT = "INVALID_ARGUMENT"
    INVALID_FILTER = "INVALID_FILTER"
    INVALID_PAGE_TOKEN = "INVALID_PAGE_TOKEN"
    TOO_LARGE = "TOO_LARGE"
    UNKNOWN_STEP = "UNKNOWN_STEP"
    PIPELINE_INVALID = "PIPELINE_INVALID"
    PIPELINE_NOT_IMPORTABLE = "PIPELINE_NOT_IMPORTABLE"
    INPUT_UNREADABLE = "INPUT_UNREADABLE"
    INTERPRETER_UNUSABLE = "INTERPRETER_UNUSABLE"
    REQUEST_ID_REUSED = "REQUEST_ID_REUSED"
    # What it names is not there.
    JOB_NOT_FOUND = "JOB_NOT_FOUND"
    JOB_AMBIGUOUS = "JOB_AMBIGUOUS"
    # The state does not allow it.
    NOT_ALLOWED = "NOT_ALLOWED"
    DUPLICATE_JOB = "DUPLICATE_JOB"
    NOTHING_FAILED = "NOTHING_FAILED"
    PAUSE_FILE = "PAUSE_FILE"
    JOB_CHANGING = "JOB_CHANGING"
    # Who asks may not.
    RUN_FENCED = "RUN_FENCED"
    PROTOCOL_MISMATCH = "PROTOCOL_MISMATCH"
    # The daemon or what it stands on.
    DAEMON_UNREACHABLE = "DAEMON_UNREACHABLE"
    DAEMON_ALREADY_RUNNING = "DAEMON_ALREADY_RUNNING"
    DAEMON_STOPPING = "DAEMON_STOPPING"
    STATE_FOLDER_FOREIGN = "STATE_FOLDER_FOREIGN"
    STORE_NEWER = "STORE_NEWER"
    STORE_UNUSABLE = "STORE_UNUSABLE"
    STORE_FULL = "STORE_FULL"
    SETTING_INVALID = "SETTING_INVALID"
    UNSUPPORTED_PLATFORM = "UNSUPPORTED_PLATFORM"
    TIMED_OUT = "TIMED_OUT"
    INTERNAL = "INTERNAL"


class MilepostError(Exception):
    """A refusal or failure that a person reads: `str()` is the whole text."""

    def __init__(self, code: Code, message: str, remedy: str = "", metadata: Mapping[str, str] | None = None) -> None:
        super().__init__(f"{message} {remedy}".strip())
        self.code = code
        self.message = message
        self.remedy = remedy
        self.metadata: Mapping[str, str] = dict(metadata or {})
