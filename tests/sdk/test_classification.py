"""Exceptions become failures by rules that are data."""

import concurrent.futures
import email.utils
import errno
import socket
import sqlite3
import subprocess
import time
import urllib.error
from email.message import Message

import pytest

from milepost.sdk.classification import MAX_MESSAGE, MAX_TRACEBACK, REMEDIES, STATUS_CLASSES, TYPE_CLASSES, failure
from milepost.sdk.errors import NeedsOperator, Persistent, RateLimited, Transient


def of_library(module: str, name: str, *bases: type[Exception]) -> Exception:
    """An exception as a library that is not installed here would raise it."""
    error = type(name, bases or (Exception,), {"__module__": module})("x")
    assert isinstance(error, Exception)
    return error


TransportError = type(of_library("httpx", "TransportError"))


class Response:
    def __init__(self, status_code: int, headers: dict[str, str]) -> None:
        self.status_code = status_code
        self.headers = headers


def status(code: int, **headers: str) -> Exception:
    error = of_library("httpx", "HTTPStatusError")
    error.response = Response(code, {name.replace("_", "-"): value for name, value in headers.items()})  # type: ignore[attr-defined]
    return error


def wrapped(cause: Exception) -> Exception:
    error = RuntimeError("the client gave up")
    error.__cause__ = cause
    return error


CASES: list[tuple[BaseException, str, str]] = [
    (Transient("x"), "transient", "raised:Transient"),
    (Persistent("x"), "persistent", "raised:Persistent"),
    (RateLimited("2m"), "rate_limited", "raised:RateLimited"),
    (NeedsOperator("x"), "needs_operator", "raised:NeedsOperator"),
    (TimeoutError(), "timeout", "type:builtins.TimeoutError"),
    (TimeoutError(), "timeout", "type:builtins.TimeoutError"),
    (concurrent.futures.TimeoutError(), "timeout", "type:builtins.TimeoutError"),
    (subprocess.TimeoutExpired("x", 1), "timeout", "type:subprocess.TimeoutExpired"),
    (ConnectionResetError(), "network", "type:builtins.ConnectionError"),
    (socket.gaierror(-2, "x"), "network", "type:socket.gaierror"),
    (urllib.error.URLError("x"), "network", "type:urllib.URLError"),
    (urllib.error.HTTPError("u", 503, "x", Message(), None), "server_error", "http:503"),
    (
        of_library("httpx", "ConnectError", type("TransportError", (Exception,), {"__module__": "httpx"})),
        "network",
        "type:httpx.TransportError",
    ),
    (of_library("requests.exceptions", "ConnectionError", OSError), "network", "type:requests.ConnectionError"),
    (of_library("aiohttp.client_exceptions", "ServerTimeoutError"), "timeout", "type:aiohttp.ServerTimeoutError"),
    (status(429), "rate_limited", "http:429"),
    (status(500), "server_error", "http:500"),
    (status(401), "credentials", "http:401"),
    (status(403), "credentials", "http:403"),
    (status(404), "not_found", "http:404"),
    (status(422), "bad_request", "http:422"),
    (MemoryError(), "resource", "type:builtins.MemoryError"),
    (OSError(errno.ENOMEM, "x"), "resource", "errno:ENOMEM"),
    (OSError(errno.ENOSPC, "x"), "disk_full", "errno:ENOSPC"),
    (FileNotFoundError(errno.ENOENT, "x"), "missing_dependency", "type:builtins.FileNotFoundError"),
    (ModuleNotFoundError("x"), "missing_dependency", "type:builtins.ImportError"),
    (BlockingIOError(), "file_lock", "type:builtins.BlockingIOError"),
    (sqlite3.OperationalError("database is locked"), "file_lock", "message:locked"),
    (KeyError("x"), "bug", "type:builtins.LookupError"),
    (TypeError("x"), "bug", "type:builtins.TypeError"),
    (ZeroDivisionError("x"), "bug", "type:builtins.ArithmeticError"),
    (SystemExit(1), "bug", "type:builtins.SystemExit"),
    (ValueError("x"), "error", "default"),
    (wrapped(ConnectionResetError()), "network", "type:builtins.ConnectionError"),
    (ExceptionGroup("x", [TimeoutError()]), "timeout", "type:builtins.TimeoutError"),
]


@pytest.mark.parametrize(("error", "error_class", "rule"), CASES, ids=lambda value: str(value)[:40] or "none")
def test_class_and_rule(error: BaseException, error_class: str, rule: str) -> None:
    found = failure(error)
    assert (found["error_class"], found["rule"]) == (error_class, rule)


def test_every_class_of_a_rule_has_a_remedy() -> None:
    assert {*TYPE_CLASSES.values(), *STATUS_CLASSES.values()} <= set(REMEDIES)


def test_retry_after() -> None:
    assert failure(RateLimited("2m"))["retry_after"] == 120
    assert failure(status(429, Retry_After="17"))["retry_after"] == 17
    assert failure(status(503, Retry_After="soon"))["retry_after"] == 0
    date = email.utils.format_datetime(email.utils.localtime().replace(year=time.localtime().tm_year + 1))
    assert failure(status(429, Retry_After=date))["retry_after"] > 86400
    assert failure(status(404, Retry_After="17"))["retry_after"] == 0
    week = 7 * 86400
    assert failure(status(429, Retry_After="9" * 310))["retry_after"] == week
    assert failure(status(429, Retry_After="²"))["retry_after"] == 0
    assert failure(RateLimited("900h"))["retry_after"] == week


def test_remedy_of_the_author_wins() -> None:
    assert failure(Persistent("no", remedy="Ask Anna."))["remedy"] == "Ask Anna."


def test_exceptions_that_cannot_be_shown() -> None:
    class BrokenError(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert "cannot be shown: RuntimeError" in failure(BrokenError())["message"]


def test_bounds() -> None:
    def deep(n: int) -> None:
        if n == 0:
            raise ValueError("x" * 100_000)
        deep(n - 1)

    with pytest.raises(ValueError, match="x") as caught:
        deep(200)
    found = failure(caught.value)
    assert len(found["message"]) == MAX_MESSAGE
    assert len(found["traceback"]) <= MAX_TRACEBACK
