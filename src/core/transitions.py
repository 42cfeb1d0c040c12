"""The one table of states and commands, and the facts that move a job: data only, which `lifecycle` applies.

Every legal transition of a job is in this file and nowhere else: `TABLE` says for each (state, command) what happens or
why not, `FACTS` what becomes of a job when something is found to be so. ARCHITECTURE.md has a drawing of it, made by
`scripts/generate-diagram`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from types import MappingProxyType

from milepost.core.model import Command, JobState


class Effect(Enum):
    """What an allowed command does."""

    HOLD = auto()  # not running: paused at once
    STOP_TO_PAUSE = auto()
    STOP_TO_PAUSE_NOW = auto()
    REVOKE_PAUSE = auto()
    ENQUEUE = auto()
    STOP_TO_RESTART = auto()
    STOP_TO_REWIND = auto()
    REWIND = auto()
    CANCEL_AT_ONCE = auto()
    STOP_TO_CANCEL = auto()
    STOP_TO_FORCE_CANCEL = auto()
    RETRY_IN_PLACE = auto()
    RETRY_AND_ENQUEUE = auto()


@dataclass(frozen=True)
class Refusal:
    """Why a command is not possible in a state, and what to do instead."""

    why: str
    instead: str


def _refuse(why: str, instead: str) -> Refusal:
    return Refusal(why, instead)


_S, _C, _E = JobState, Command, Effect
RESUME_INSTEAD = "Resume it to go on at its checkpoint."
_WAIT_CANCEL = "Wait until it is cancelled, then resume it; or force-cancel to end it now."
_ALREADY_CANCELLED = _refuse("it is cancelled already", RESUME_INSTEAD)
_ENDED_FAILED = _refuse("it has failed and holds nothing", "Resume it to go on, or leave it as it is.")
_ENDED_COMPLETED = _refuse("it is completed", "Look at its results.")
_NOT_RUNNING = _refuse("it has no run that could be restarted", RESUME_INSTEAD)
_WAITS = _refuse("it waits and runs nothing", "See its reason; resume it when that is mended.")
NOTHING_LEFT = _refuse("it is completed: every item is processed", "Look at its results.")
_NOT_STARTED = _refuse("it has not started yet", "Cancel it, or let it start.")

#: (state, command) -> what happens, or why not. Complete: every pair is here.
TABLE: Mapping[tuple[JobState, Command], Effect | Refusal] = MappingProxyType(
    {
        (_S.SCHEDULED, _C.PAUSE): _E.HOLD,
        (_S.SCHEDULED, _C.PAUSE_NOW): _E.HOLD,
        (_S.SCHEDULED, _C.RESUME): _refuse("it waits for its start time", "Pause and resume it to start it at once."),
        (_S.SCHEDULED, _C.RESTART): _NOT_STARTED,
        (_S.SCHEDULED, _C.RESTART_FROM_STEP): _NOT_STARTED,
        (_S.SCHEDULED, _C.RESTART_FROM_SCRATCH): _NOT_STARTED,
        (_S.SCHEDULED, _C.CANCEL): _E.CANCEL_AT_ONCE,
        (_S.SCHEDULED, _C.FORCE_CANCEL): _E.CANCEL_AT_ONCE,
        (_S.SCHEDULED, _C.RETRY): _E.RETRY_IN_PLACE,
        (_S.QUEUED, _C.PAUSE): _E.HOLD,
        (_S.QUEUED, _C.PAUSE_NOW): _E.HOLD,
        (_S.QUEUED, _C.RESUME): _refuse("it is queued already", "It starts when its queue has a free slot."),
        (_S.QUEUED, _C.RESTART): _refuse("it is queued and starts at its checkpoint anyway", "Wait for its slot."),
        (_S.QUEUED, _C.RESTART_FROM_STEP): _E.REWIND,
        (_S.QUEUED, _C.RESTART_FROM_SCRATCH): _E.REWIND,
        (_S.QUEUED, _C.CANCEL): _E.CANCEL_AT_ONCE,
        (_S.QUEUED, _C.FORCE_CANCEL): _E.CANCEL_AT_ONCE,
        (_S.QUEUED, _C.RETRY): _E.RETRY_IN_PLACE,
        (_S.RUNNING, _C.PAUSE): _E.STOP_TO_PAUSE,
        (_S.RUNNING, _C.PAUSE_NOW): _E.STOP_TO_PAUSE_NOW,
        (_S.RUNNING, _C.RESUME): _refuse("it is running already", "Restart it if it is stuck."),
        (_S.RUNNING, _C.RESTART): _E.STOP_TO_RESTART,
        (_S.RUNNING, _C.RESTART_FROM_STEP): _E.STOP_TO_REWIND,
        (_S.RUNNING, _C.RESTART_FROM_SCRATCH): _E.STOP_TO_REWIND,
        (_S.RUNNING, _C.CANCEL): _E.STOP_TO_CANCEL,
        (_S.RUNNING, _C.FORCE_CANCEL): _E.STOP_TO_FORCE_CANCEL,
        (_S.RUNNING, _C.RETRY): _E.RETRY_IN_PLACE,
        (_S.PAUSING, _C.PAUSE): _refuse(
            "it is pausing already", "Wait for the tasks in flight, or pause it now to kill them; they run again."
        ),
        (_S.PAUSING, _C.PAUSE_NOW): _E.STOP_TO_PAUSE_NOW,
        (_S.PAUSING, _C.RESUME): _E.REVOKE_PAUSE,
        (_S.PAUSING, _C.RESTART): _E.STOP_TO_RESTART,
        (_S.PAUSING, _C.RESTART_FROM_STEP): _E.STOP_TO_REWIND,
        (_S.PAUSING, _C.RESTART_FROM_SCRATCH): _E.STOP_TO_REWIND,
        (_S.PAUSING, _C.CANCEL): _E.STOP_TO_CANCEL,
        (_S.PAUSING, _C.FORCE_CANCEL): _E.STOP_TO_FORCE_CANCEL,
        (_S.PAUSING, _C.RETRY): _refuse("it is pausing", "Wait until it is paused, then retry."),
        (_S.PAUSED, _C.PAUSE): _refuse("it is paused already", RESUME_INSTEAD),
        (_S.PAUSED, _C.PAUSE_NOW): _refuse("it is paused already", RESUME_INSTEAD),
        (_S.PAUSED, _C.RESUME): _E.ENQUEUE,
        (_S.PAUSED, _C.RESTART): _NOT_RUNNING,
        (_S.PAUSED, _C.RESTART_FROM_STEP): _E.REWIND,
        (_S.PAUSED, _C.RESTART_FROM_SCRATCH): _E.REWIND,
        (_S.PAUSED, _C.CANCEL): _E.CANCEL_AT_ONCE,
        (_S.PAUSED, _C.FORCE_CANCEL): _E.CANCEL_AT_ONCE,
        (_S.PAUSED, _C.RETRY): _E.RETRY_IN_PLACE,
        (_S.CANCELLING, _C.PAUSE): _refuse("it is being cancelled", _WAIT_CANCEL),
        (_S.CANCELLING, _C.PAUSE_NOW): _refuse("it is being cancelled", _WAIT_CANCEL),
        (_S.CANCELLING, _C.RESUME): _refuse("it is being cancelled", _WAIT_CANCEL),
        (_S.CANCELLING, _C.RESTART): _refuse("it is being cancelled", _WAIT_CANCEL),
        (_S.CANCELLING, _C.RESTART_FROM_STEP): _refuse("it is being cancelled", _WAIT_CANCEL),
        (_S.CANCELLING, _C.RESTART_FROM_SCRATCH): _refuse("it is being cancelled", _WAIT_CANCEL),
        (_S.CANCELLING, _C.CANCEL): _refuse("it is being cancelled already", "Force-cancel to end it now."),
        (_S.CANCELLING, _C.FORCE_CANCEL): _E.STOP_TO_FORCE_CANCEL,
        (_S.CANCELLING, _C.RETRY): _refuse("it is being cancelled", _WAIT_CANCEL),
        (_S.CANCELLED, _C.PAUSE): _ALREADY_CANCELLED,
        (_S.CANCELLED, _C.PAUSE_NOW): _ALREADY_CANCELLED,
        (_S.CANCELLED, _C.RESUME): _E.ENQUEUE,
        (_S.CANCELLED, _C.RESTART): _NOT_RUNNING,
        (_S.CANCELLED, _C.RESTART_FROM_STEP): _E.REWIND,
        (_S.CANCELLED, _C.RESTART_FROM_SCRATCH): _E.REWIND,
        (_S.CANCELLED, _C.CANCEL): _ALREADY_CANCELLED,
        (_S.CANCELLED, _C.FORCE_CANCEL): _ALREADY_CANCELLED,
        (_S.CANCELLED, _C.RETRY): _E.RETRY_AND_ENQUEUE,
        (_S.WAITING, _C.PAUSE): _refuse("it waits and runs nothing", "See its reason; resume it when that is mended."),
        (_S.WAITING, _C.PAUSE_NOW): _refuse(
            "it waits and runs nothing", "See its reason; resume it when that is mended."
        ),
        (_S.WAITING, _C.RESUME): _E.ENQUEUE,
        (_S.WAITING, _C.RESTART): _NOT_RUNNING,
        (_S.WAITING, _C.RESTART_FROM_STEP): _E.REWIND,
        (_S.WAITING, _C.RESTART_FROM_SCRATCH): _E.REWIND,
        (_S.WAITING, _C.CANCEL): _E.CANCEL_AT_ONCE,
        (_S.WAITING, _C.FORCE_CANCEL): _E.CANCEL_AT_ONCE,
        (_S.WAITING, _C.RETRY): _refuse("it waits for something else", "Mend what its reason says, then resume it."),
        (_S.COMPLETED, _C.PAUSE): _ENDED_COMPLETED,
        (_S.COMPLETED, _C.PAUSE_NOW): _ENDED_COMPLETED,
        (_S.COMPLETED, _C.RESUME): NOTHING_LEFT,
        (_S.COMPLETED, _C.RESTART): _refuse("it is completed: nothing runs", "Restart it from a step or from scratch."),
        (_S.COMPLETED, _C.RESTART_FROM_STEP): _E.REWIND,
        (_S.COMPLETED, _C.RESTART_FROM_SCRATCH): _E.REWIND,
        (_S.COMPLETED, _C.CANCEL): _ENDED_COMPLETED,
        (_S.COMPLETED, _C.FORCE_CANCEL): _ENDED_COMPLETED,
        (_S.COMPLETED, _C.RETRY): _E.RETRY_AND_ENQUEUE,
        (_S.FAILED, _C.PAUSE): _ENDED_FAILED,
        (_S.FAILED, _C.PAUSE_NOW): _ENDED_FAILED,
        (_S.FAILED, _C.RESUME): _E.ENQUEUE,
        (_S.FAILED, _C.RESTART): _NOT_RUNNING,
        (_S.FAILED, _C.RESTART_FROM_STEP): _E.REWIND,
        (_S.FAILED, _C.RESTART_FROM_SCRATCH): _E.REWIND,
        (_S.FAILED, _C.CANCEL): _ENDED_FAILED,
        (_S.FAILED, _C.FORCE_CANCEL): _ENDED_FAILED,
        (_S.FAILED, _C.RETRY): _E.RETRY_AND_ENQUEUE,
    }
)

#: Facts that move a job, with the states they lead to; for the diagram and the tests.
FACTS: Mapping[str, tuple[tuple[JobState, JobState], ...]] = MappingProxyType(
    {
        "start time reached": ((_S.SCHEDULED, _S.QUEUED),),
        "slot free": ((_S.QUEUED, _S.RUNNING),),
        "input lost": ((_S.QUEUED, _S.WAITING),),
        "pipeline not importable, or its runner of another version": ((_S.RUNNING, _S.WAITING),),
        "all done": ((_S.RUNNING, _S.COMPLETED), (_S.PAUSING, _S.COMPLETED), (_S.CANCELLING, _S.COMPLETED)),
        "runner ended": ((_S.PAUSING, _S.PAUSED), (_S.CANCELLING, _S.CANCELLED), (_S.RUNNING, _S.QUEUED)),
        "job cannot go on": ((_S.RUNNING, _S.FAILED),),
        "runner lost": ((_S.RUNNING, _S.QUEUED), (_S.RUNNING, _S.FAILED)),
    }
)
