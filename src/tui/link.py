"""How the connection stands, as screens show it."""

from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING

from milepost.common.text import safe

if TYPE_CHECKING:
    from milepost.v1.daemon_service_pb2 import GetStatsResponse


class LinkState(Enum):
    CONNECTING = "connecting"
    STARTING = "starting the daemon"
    LOADING = "loading"
    LIVE = "live"
    LOST = "lost"


@dataclass(frozen=True)
class Link:
    """`since`: Unix seconds, when it became live or ceased to be. `message`: why it is not live.

    `total`: jobs that are to come while loading.
    """

    state: LinkState
    since: float
    message: str = ""
    daemon_version: str = ""
    total: int = 0
    stats: "GetStatsResponse | None" = None

    @property
    def is_live(self) -> bool:
        """Whether what is shown is how things are, so that commands make sense."""
        return self.state in (LinkState.LIVE, LinkState.LOADING)

    def settled(self, now: float) -> "Link":
        return replace(self, state=LinkState.LIVE, since=now, message="")

    def with_stats(self, stats: "GetStatsResponse") -> "Link":
        return replace(self, stats=stats)


def version_warning(ours: str, daemons: str) -> str:
    """Empty when both are of one version."""
    if not daemons or ours == daemons:
        return ""
    return f"The daemon is {safe(daemons)}, this screen {ours}: restart the older one."
