"""For all tests: the longest files come first, so that no worker is left alone with one at the end.

What a shell starts with `&` ignores SIGINT, and so does all that it starts: the tests send it.
"""

import signal

import pytest

LONGEST = frozenset({"test_terminal.py", "test_disk.py", "test_creators_job.py", "test_trees.py", "test_findings.py"})


def pytest_configure() -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name not in LONGEST)
