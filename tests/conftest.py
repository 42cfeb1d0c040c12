"""For all tests: the longest files come first, so that no worker is left alone with one at the end.

What a shell starts with `&` ignores SIGINT, and so does all that it starts: the tests send it.
"""

import asyncio
import signal
from collections.abc import Callable, Mapping

import pytest
import uvloop

LONGEST = frozenset({"test_terminal.py", "test_disk.py", "test_creators_job.py", "test_trees.py", "test_findings.py"})


def pytest_configure() -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name not in LONGEST)


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """What the daemon is made of is tested in the daemon's loop."""
    of_the_daemon = item.path.parent.name in {"daemon", "rpc", "store"}
    return {"loop": uvloop.new_event_loop if of_the_daemon else asyncio.new_event_loop}
