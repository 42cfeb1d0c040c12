"""A daemon with a bug: what a runner reports is acknowledged before the commit."""

import runpy
from typing import Any

from milepost.daemon.session import Session

_take, _record = Session._take_batches, Session._record
_taken: dict[int, int] = {}


def _take_batches(self: Session) -> Any:  # Any: as the method it stands for
    batches = _take(self)
    _taken[id(self)] = batches[-1].sequence
    return batches


async def _record_late(self: Session, received: Any) -> Any:  # Any: as above
    await self._send_ack(_taken[id(self)], ())
    await self.inspect()  # answered after it was heard: now the daemon can be killed
    return await _record(self, received)


if __name__ == "__main__":
    Session._take_batches = _take_batches  # type: ignore[method-assign]
    Session._record = _record_late  # type: ignore[method-assign]
    runpy.run_module("milepost.daemon.main", run_name="__main__", alter_sys=True)
