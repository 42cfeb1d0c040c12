"""Each test has a daemon of its own."""

from collections.abc import AsyncIterator

import pytest

from tests.support.daemon import RealDaemon, real_daemon


@pytest.fixture
async def daemon() -> AsyncIterator[RealDaemon]:
    async with real_daemon() as running:
        yield running
