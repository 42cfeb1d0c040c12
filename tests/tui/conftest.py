from collections.abc import AsyncIterator

import pytest

from tests.support.in_process import InProcessDaemon, in_process_daemon


@pytest.fixture
async def daemon() -> AsyncIterator[InProcessDaemon]:
    async with in_process_daemon() as running:
        yield running
