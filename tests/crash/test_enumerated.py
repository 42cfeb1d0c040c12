"""A kill before and after edges, by `MILEPOST_CRASH_PROFILE`.

Not set: what fits into a run of all tests. The edges where the outcome of a task is on its way to the record, or a run
comes and goes, at the first passing in the quickest scenario; and one place of each process at the last passing of the
journey, after pause, resume and restart. `quick`: every edge at the first passing, and each edge on the way to the
record at the last one of the journey too. `long`: every edge at every passing in every scenario, but for what a daemon
does before there is a job, which is the same in each.
"""

import asyncio
import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.drill import Kill
from tests.crash.edges import NOT_PASSED, SOMETIMES_PASSED, names
from tests.crash.scenarios import SCENARIOS, play

PROFILE = os.environ.get("MILEPOST_CRASH_PROFILE", "")
LONG = PROFILE == "long"
#: How often each place is passed, by scenario.
Passings = dict[str, dict[str, int]]
#: Where what a task came to is on its way to the record, or a run comes and goes.
ON_THE_WAY = (
    "store.commit",
    "session.send_ack",
    "session.send_page",
    "runners.start",
    "runners.end_tree",
    "link.write",
    "worker.send",
    "channel.write",
    "artefacts.rename",
)
#: Passed by the first daemon of a state folder before it serves, whatever is played then.
BEFORE_A_JOB = ("sdk_copy.write", "sdk_copy.publish", "store.sync_folder")
#: One place of each process for the end of a journey, where nothing else is tried.
AT_THE_END = ("daemon.store.commit:before", "runner.link.write:after", "worker.channel.write:before")


async def record() -> Passings:
    """Plays each scenario without a kill, all at a time."""
    drills = await asyncio.gather(*map(play, SCENARIOS))
    return {name: drill.passed for name, drill in zip(SCENARIOS, drills, strict=True)}


@pytest.fixture(scope="session")
def passings(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Passings:
    """Recorded once, whichever of the test processes comes first."""
    base = tmp_path_factory.getbasetemp()
    folder = base if worker_id == "master" else base.parent
    with (folder / "passings.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        file = folder / "passings.json"
        if not file.exists():
            file.write_text(json.dumps(asyncio.run(record())))
        recorded: Passings = json.loads(file.read_text())
        return recorded


def kills(recorded: Passings, name: str, phase: str) -> Iterator[tuple[str, Kill]]:
    """What is tried: (scenario, kill)."""
    places = sorted({place for passed in recorded.values() for place in passed if _is_of(place, name, phase)})
    for place in places:
        scenarios = [scenario for scenario in SCENARIOS if place in recorded[scenario]]
        if LONG:
            for scenario in scenarios[:1] if name in BEFORE_A_JOB else scenarios:
                yield from ((scenario, Kill(place, number)) for number in range(1, recorded[scenario][place] + 1))
            continue
        yield scenarios[0], Kill(place, 1)
        if (name in ON_THE_WAY if PROFILE else place in AT_THE_END) and "journey" in scenarios:
            yield "journey", Kill(place, recorded["journey"][place])


def _is_of(place: str, name: str, phase: str) -> bool:
    return place.partition(".")[2] == f"{name}:{phase}"


def test_every_edge_is_passed(passings: Passings) -> None:
    passed = {place.partition(".")[2].partition(":")[0] for counts in passings.values() for place in counts}
    assert names() - passed == NOT_PASSED.keys()


@pytest.mark.timeout(3600 if LONG else 300)
@pytest.mark.parametrize("phase", ["before", "after"])
@pytest.mark.parametrize("name", sorted(names() - NOT_PASSED.keys()) if PROFILE else ON_THE_WAY)
async def test_a_kill_at(passings: Passings, name: str, phase: str) -> None:
    failures = []
    tried = list(kills(passings, name, phase))
    for scenario, kill in tried:
        try:
            await play_with(scenario, kill)
        except BaseException as failure:
            failure.add_note(f"in the scenario {scenario!r}, killed at {kill}")
            if not isinstance(failure, Exception):
                raise
            failures.append(failure)
    if failures:
        raise ExceptionGroup(f"{len(failures)} of {len(tried)} kills", failures)
    assert tried or any(_is_of(place, name, phase) for place in SOMETIMES_PASSED), "recorded nowhere"


async def play_with(scenario: str, kill: Kill) -> None:
    drill = await play(scenario, kill)
    # How often what depends on time is passed differs; the first passing is always there.
    assert drill.fired or kill.number > 1 or kill.place in SOMETIMES_PASSED, f"{kill} was never reached"


def test_the_twins_are_the_same(request: pytest.FixtureRequest) -> None:
    source = Path(request.config.rootpath) / "src"
    assert (source / "common" / "edges.py").read_text() == (source / "sdk" / "edges.py").read_text()
