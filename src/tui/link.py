"""How the connection stands, as screens show it."""

import re
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
    NOT_STARTED = "daemon does not start"


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
    """Which of the two is older, and what to type; empty when both are of one version."""
    if not daemons or ours == daemons:
        return ""
    theirs = safe(daemons)
    if _release(daemons) < _release(ours):
        return f" The daemon {theirs} is older than this screen {ours}: milepost daemon restart"
    if _release(ours) < _release(daemons):
        return f" This screen {ours} is older than the daemon {theirs}: q, then milepost tui"
    return f" The daemon is {theirs}, this screen {ours}: milepost daemon restart"


def _release(version: str) -> list[int]:
    """Its numbers, without what stands behind them: 0.2.0 of 0.2.0rc1."""
    found = re.match(r"[0-9]+(\.[0-9]+)*", version)
    return [int(number) for number in found[0].split(".")] if found else []
