"""What was read of the items of the jobs that were open last: there for whoever opens one of them again."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from milepost.tui.windows import Window
    from milepost.v1.job_pb2 import Item
    from milepost.v1.job_service_pb2 import GetJobGridResponse

#: Jobs of which it is kept.
JOBS = 5


@dataclass(frozen=True)
class Kept:
    """`items`: the list of all of them. None: it was not read."""

    grid: "GetJobGridResponse | None"
    items: "Window[Item] | None"


class Shelf:
    def __init__(self) -> None:
        self._kept: dict[str, Kept] = {}

    def put(self, job_id: str, kept: Kept) -> None:
        self._kept.pop(job_id, None)
        self._kept[job_id] = kept
        if len(self._kept) > JOBS:
            del self._kept[next(iter(self._kept))]

    def get(self, job_id: str) -> Kept | None:
        return self._kept.get(job_id)
