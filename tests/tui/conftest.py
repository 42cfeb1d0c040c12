from collections.abc import AsyncIterator

import pytest

from milepost.daemon.rpc import job_service
from tests.support.in_process import InProcessDaemon, in_process_daemon


@pytest.fixture
async def daemon(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[InProcessDaemon]:
    # There are no runners whose answer a pause could wait for.
    monkeypatch.setattr(job_service, "HOLDING_TIMEOUT", 0.02)
    async with in_process_daemon() as running:
        yield running
