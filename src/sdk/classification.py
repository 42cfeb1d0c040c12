"""An exception becomes a failure: its class, the rule that said so, and what a person can do.

The rules are data. They are asked in this order, the first that knows an answer wins: what the step raised on purpose,
an errno, an HTTP status, the exception's type by name (no library is imported for it); then the same for its cause.
"""

from __future__ import annotations

import errno
from typing import Any

from milepost.sdk.errors import RateLimited, TaskError
from milepost.sdk.loading import format_error
from milepost.sdk.results import InvalidResult

MAX_MESSAGE = 2000
MAX_TRACEBACK = 8000
#: Seconds: nobody is waited for longer.
MAX_RETRY_AFTER = 7 * 86400.0

ERRNO_CLASSES = {
    errno.ENOSPC: "disk_full",
    errno.EDQUOT: "disk_full",
    errno.ENOMEM: "resource",
    errno.EMFILE: "resource",
    errno.ENFILE: "resource",
    errno.ENETUNREACH: "network",
    errno.EHOSTUNREACH: "network",
    errno.EAGAIN: "file_lock",
    errno.EDEADLK: "file_lock",
    errno.ENOLCK: "file_lock",
}

#: Status codes of their own; the rest of 4xx is bad_request, 5xx is server_error.
STATUS_CLASSES = {
    401: "credentials",
    403: "credentials",
    404: "not_found",
    408: "timeout",
    410: "not_found",
    425: "server_error",
    429: "rate_limited",
    504: "timeout",
}

#: Top-level package and class name, looked up along the method resolution order: the most specific one wins.
TYPE_CLASSES = {
    "builtins.TimeoutError": "timeout",
    "asyncio.TimeoutError": "timeout",
    "concurrent.TimeoutError": "timeout",
    "socket.timeout": "timeout",
    "subprocess.TimeoutExpired": "timeout",
    "httpx.TimeoutException": "timeout",
    "httpcore.TimeoutException": "timeout",
    "requests.Timeout": "timeout",
    "urllib3.TimeoutError": "timeout",
    "aiohttp.ServerTimeoutError": "timeout",
    "openai.APITimeoutError": "timeout",
    "anthropic.APITimeoutError": "timeout",
    "builtins.ConnectionError": "network",
    "socket.gaierror": "network",
    "socket.herror": "network",
    "ssl.SSLError": "network",
    "urllib.URLError": "network",
    "http.HTTPException": "network",
    "httpx.TransportError": "network",
    "httpcore.NetworkError": "network",
    "httpcore.ProtocolError": "network",
    "requests.ConnectionError": "network",
    "requests.ChunkedEncodingError": "network",
    "urllib3.HTTPError": "network",
    "aiohttp.ClientConnectionError": "network",
    "aiohttp.ClientPayloadError": "network",
    "openai.APIConnectionError": "network",
    "anthropic.APIConnectionError": "network",
    "botocore.HTTPClientError": "network",
    "builtins.MemoryError": "resource",
    "builtins.FileNotFoundError": "missing_dependency",
    "builtins.ImportError": "missing_dependency",
    "builtins.BlockingIOError": "file_lock",
    "filelock.Timeout": "file_lock",
    "builtins.AssertionError": "bug",
    "builtins.ArithmeticError": "bug",
    "builtins.AttributeError": "bug",
    "builtins.LookupError": "bug",
    "builtins.NameError": "bug",
    "builtins.NotImplementedError": "bug",
    "builtins.RecursionError": "bug",
    "builtins.SyntaxError": "bug",
    "builtins.TypeError": "bug",
    "builtins.SystemExit": "bug",
    "builtins.KeyboardInterrupt": "bug",
    "builtins.GeneratorExit": "bug",
    "asyncio.CancelledError": "bug",
}

REMEDIES = {
    "timeout": "Raise the step's timeout, or find out why the other side is slow.",
    "network": "Check the connection and the address.",
    "rate_limited": "Lower the step's concurrency, or raise the limit at the provider.",
    "server_error": "The other side failed; try again later.",
    "credentials": "Check the key or token that the job was given, then retry the failed items.",
    "bad_request": "The other side refuses this item as it is; correct the item or the request.",
    "not_found": "What the item names is not there; correct the item.",
    "resource": "Free memory or file handles, or lower the step's concurrency.",
    "disk_full": "Free disk space, then retry the failed items.",
    "missing_dependency": "Provide the missing file, program or package, then retry the failed items.",
    "file_lock": "Another program holds it; try again when that has ended.",
    "bug": "Correct the step's code, then retry the failed items.",
    "needs_operator": "Do what the message asks for, then retry the failed items.",
    "error": "Read the traceback; raise Transient or Persistent to say how this error is to be treated.",
}

Failure = dict[str, Any]  # Any: a JSON object of the frame protocol


def failure(error: BaseException) -> Failure:
    """The failure object of a result frame. Never raises for what an author's exception does in `__str__`."""
    if isinstance(error, InvalidResult):
        return _failure(error.error_class, f"raised:{error.error_class}", str(error), "", error.remedy)
    trace = format_error(error, MAX_TRACEBACK)
    if isinstance(error, TaskError):
        remedy = error.remedy or REMEDIES.get(error.error_class, "")
        after = error.after if isinstance(error, RateLimited) else 0.0
        message = _text(error) or type(error).__name__
        return _failure(error.error_class, f"raised:{type(error).__name__}", message, trace, remedy, after)
    error_class, rule, culprit = classify(error)
    message = f"{type(error).__name__}: {_text(error)}".rstrip(": ")
    after = _retry_after(culprit) if error_class in ("rate_limited", "server_error") else 0.0
    return _failure(error_class, rule, message, trace, REMEDIES.get(error_class, ""), after)


def classify(error: BaseException) -> tuple[str, str, BaseException]:
    """Error class, rule, and the exception that the rule spoke about: the error itself or one that it wraps."""
    current: BaseException | None = error
    for _ in range(8):
        if current is None:
            break
        if isinstance(current, TaskError):
            return current.error_class, f"raised:{type(current).__name__}", current
        found = _by_errno(current) or _by_status(current) or _by_type(current)
        if found:
            return found[0], found[1], current
        group = getattr(current, "exceptions", None)  # an ExceptionGroup, which Python 3.9 does not know
        current = group[0] if isinstance(group, tuple) and group else current.__cause__
    return "error", "default", error


def _by_errno(error: BaseException) -> tuple[str, str] | None:
    number = error.errno if isinstance(error, OSError) else None
    if not isinstance(number, int) or number not in ERRNO_CLASSES:
        return None
    return ERRNO_CLASSES[number], f"errno:{errno.errorcode[number]}"


def _by_status(error: BaseException) -> tuple[str, str] | None:
    response = getattr(error, "response", None)
    for holder in (response, error):
        for name in ("status_code", "status", "code"):
            status = getattr(holder, name, None)
            if isinstance(status, int) and not isinstance(status, bool) and 400 <= status <= 599:
                fallback = "bad_request" if status < 500 else "server_error"
                return STATUS_CLASSES.get(status, fallback), f"http:{status}"
    return None


def _by_type(error: BaseException) -> tuple[str, str] | None:
    for base in type(error).__mro__:
        name = f"{base.__module__.partition('.')[0]}.{base.__name__}".replace("_socket.", "socket.")
        if name in TYPE_CLASSES:
            return TYPE_CLASSES[name], f"type:{name}"
    if type(error).__module__ == "sqlite3" and "locked" in _text(error):
        return "file_lock", "message:locked"
    return None


def _retry_after(error: BaseException) -> float:
    """Seconds that the other side asked to wait: a number or an HTTP date; 0 when it did not, or not legibly."""
    if isinstance(error, RateLimited):
        return error.after
    headers = getattr(getattr(error, "response", None), "headers", None) or getattr(error, "headers", None)
    try:
        value = str(headers.get("Retry-After") or headers.get("retry-after") or "") if headers is not None else ""
    except (AttributeError, TypeError):
        return 0.0
    if value.replace(".", "", 1).isdecimal():
        return float(value)
    return _seconds_until(value) if value else 0.0


def _seconds_until(date: str) -> float:
    import time
    from email.utils import parsedate_to_datetime

    try:
        return max(0.0, parsedate_to_datetime(date).timestamp() - time.time())
    except (TypeError, ValueError, IndexError, OverflowError):
        return 0.0


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as broken:  # noqa: BLE001 (an author's __str__ may raise anything)
        return f"(its text cannot be shown: {type(broken).__name__})"


def _failure(error_class: str, rule: str, message: str, trace: str, remedy: str, retry_after: float = 0.0) -> Failure:
    return {
        "error_class": error_class,
        "rule": rule,
        "message": message[:MAX_MESSAGE],
        "traceback": trace,
        "remedy": remedy,
        "retry_after": min(retry_after, MAX_RETRY_AFTER),
    }
