"""What time it is for the whole application: given to it, so that a test can say."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from textual.dom import DOMNode

if TYPE_CHECKING:
    from milepost.tui.app import MilepostApp

#: Seconds until a person has seen that something else came under the cursor by itself.
SEEN_AFTER = 1.0


@dataclass(frozen=True)
class Clock:
    """`now`: Unix seconds. `monotonic`: seconds, for spans only."""

    now: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic


def clock_of(node: DOMNode) -> Clock:
    return cast("MilepostApp", node.app).clock
