"""What is noticed about a running job: three ways to be stuck, told apart, and a pause that waits."""

import math
from dataclasses import replace

import pytest

from milepost.core.clocks import Awake, Clocks
from milepost.core.findings import (
    Evidence,
    ExecutingTask,
    Finding,
    Patience,
    SilentWorker,
    does_not_get_on,
    findings,
    progress_limit,
)
from milepost.core.model import FindingKind, Job, JobState, Reason, Stop
from tests.core.factories import job, step

PATIENCE = Patience(pause=60.0, silence=30.0)
NOW = 1000.0
HEALTHY = Evidence(runner=7, silence=1.0, tasks=[ExecutingTask("fetch ada", 5.0, 8, 600.0)])


def noticed(running: Job, seen: Evidence, now: float = NOW) -> tuple[Finding, ...]:
    return findings(running, seen, now, PATIENCE)


def codes(found: tuple[Finding, ...]) -> list[str]:
    return [finding.reason.code for finding in found]


def executing(*names: str, quiet: float = 5.0, worker: int = 8, limit: float | None = 600.0) -> list[ExecutingTask]:
    return [ExecutingTask(name, quiet, worker, limit) for name in names]


class TestPause:
    def test_one_that_waits_long_names_what_it_waits_for(self) -> None:
        pausing = job(JobState.PAUSING)  # since second 10
        seen = Evidence(tasks=executing("fetch ada", "fetch bob", "fetch cyd", "fetch dee"))
        assert noticed(pausing, seen, 69.0) == ()
        [late] = noticed(pausing, seen, 75.0)
        assert (late.kind, late.since, late.reason.code) == (FindingKind.SLOW, 70.0, "PAUSE_WAITS")
        assert late.reason.message == "The pause has waited 65 s for fetch ada, fetch bob, fetch cyd and 1 more."
        assert late.reason.remedy.endswith("milepost pause j-aaaaaaaa --now.")
        assert does_not_get_on([late])

    def test_only_a_pause_waits(self) -> None:
        assert noticed(job(JobState.CANCELLING), HEALTHY) == ()
        assert noticed(job(), HEALTHY) == ()


class TestRunner:
    def test_that_says_nothing(self) -> None:
        assert noticed(job(), replace(HEALTHY, silence=29.9)) == ()
        [found] = noticed(job(), replace(HEALTHY, silence=30.0))
        assert (found.kind, found.reason.code, found.since) == (FindingKind.STUCK, "RUNNER_SILENT", 970.0)
        assert found.reason.message.startswith("Its runner (process 7) lives but does not say anything")
        assert found.reason.remedy.endswith("milepost restart j-aaaaaaaa.")

    def test_that_is_stopped(self) -> None:
        [found] = noticed(job(), replace(HEALTHY, silence=31.0, stopped=True))
        assert "(process 7) is stopped" in found.reason.message
        assert "kill -CONT 7" in found.reason.remedy

    def test_that_is_not_known_yet(self) -> None:
        [found] = noticed(job(), Evidence(silence=31.0))
        assert found.reason.message.startswith("Its runner lives")

    def test_its_silence_makes_all_below_it_unknown(self) -> None:
        below = replace(
            HEALTHY, silent_workers=[SilentWorker(8, 99.0, 1)], tasks=executing("fetch ada", quiet=9999.0, worker=0)
        )
        assert codes(noticed(job(), replace(below, silence=31.0))) == ["RUNNER_SILENT"]
        assert codes(noticed(job(), below)) == ["WORKER_SILENT", "NO_PROGRESS"]


class TestWorker:
    def test_that_does_not_answer_names_what_is_in_it(self) -> None:
        tasks = [*executing("fetch ada", "fetch bob", "fetch cyd", "fetch dee"), *executing("store eve", worker=9)]
        seen = replace(HEALTHY, tasks=tasks, silent_workers=[SilentWorker(8, 30.0, 256)])
        [found] = noticed(job(), seen)
        assert (found.kind, found.reason.code, found.since) == (FindingKind.STUCK, "WORKER_SILENT", 970.0)
        assert found.reason.message == (
            "A worker (process 8) does not answer: something blocks it. "
            "In it: fetch ada, fetch bob, fetch cyd and 253 more."
        )
        assert "milepost inspect j-aaaaaaaa" in found.reason.remedy
        assert "milepost restart j-aaaaaaaa" in found.reason.remedy

    def test_that_answers_late_is_not_pointed_out(self) -> None:
        assert noticed(job(), replace(HEALTHY, silent_workers=[SilentWorker(8, 29.9, 1)])) == ()

    def test_that_is_still_importing(self) -> None:
        [found] = noticed(job(), Evidence(silent_workers=[SilentWorker(8, 40.0, 0, starting=True)]))
        assert found.reason.message == "A worker (process 8) has not imported the pipeline yet."

    def test_several_are_one_finding(self) -> None:
        silent = [SilentWorker(pid, pid * 10.0, 1) for pid in range(4, 9)]
        [found] = noticed(job(), replace(HEALTHY, silent_workers=silent))
        assert found.since == NOW - 80.0
        assert found.reason.message == ("5 workers do not answer: process 4, process 5, process 6 and 2 more.")
        tasks = [*executing("fetch ada", worker=4), *executing("fetch bob", worker=5)]
        [named] = noticed(job(), replace(HEALTHY, silent_workers=silent[:2], tasks=tasks))
        assert named.reason.message == ("2 workers do not answer: process 4 with fetch ada, process 5 with fetch bob.")

    def test_explains_why_its_tasks_do_not_end(self) -> None:
        tasks = [*executing("fetch ada", quiet=700.0, worker=8), *executing("store bob", quiet=650.0, worker=9)]
        seen = replace(HEALTHY, tasks=tasks, silent_workers=[SilentWorker(8, 700.0, 1)])
        worker, task = noticed(job(), seen)
        assert (worker.reason.code, task.reason.code) == ("WORKER_SILENT", "NO_PROGRESS")
        assert "fetch ada" in worker.reason.message
        assert task.reason.message.startswith("store bob executes")


class TestProgress:
    def test_the_oldest_is_named_first(self) -> None:
        tasks = [*executing("fetch ada", quiet=600.0), *executing("fetch bob", quiet=900.0)]
        [found] = noticed(job(), replace(HEALTHY, tasks=tasks))
        assert (found.kind, found.reason.code, found.since) == (FindingKind.STUCK, "NO_PROGRESS", 100.0)
        assert found.reason.message == (
            "fetch bob, fetch ada execute without progress for longer than 10 min, while the worker answers."
        )
        assert "milepost inspect j-aaaaaaaa" in found.reason.remedy

    def test_of_a_command(self) -> None:
        [found] = noticed(job(), replace(HEALTHY, tasks=executing("run a.txt", quiet=6.0, worker=0, limit=5.0)))
        assert found.reason.message == "run a.txt executes without progress for longer than 5 s."

    def test_a_task_without_a_limit_may_take_for_ever(self) -> None:
        assert noticed(job(), replace(HEALTHY, tasks=executing("fetch ada", quiet=1e6, limit=None))) == ()

    @pytest.mark.parametrize(
        ("timeout", "longest", "setting", "limit"),
        [
            (None, None, None, 3600.0),  # nothing is known of the step
            (None, 12.0, None, 600.0),  # far below ten minutes nobody is impatient
            (None, 1000.0, None, 3000.0),
            (300.0, 12.0, None, None),  # its time-out ends it
            (300.0, 12.0, 5.0, 5.0),
            (None, 1000.0, 5.0, 5.0),
        ],
    )
    def test_the_limit_is_given_or_learned(
        self, timeout: float | None, longest: float | None, setting: float | None, limit: float | None
    ) -> None:
        patience = replace(PATIENCE, progress=setting)
        assert progress_limit(step("fetch", timeout=timeout), longest, patience) == limit


STUCK = replace(HEALTHY, silence=31.0)


@pytest.mark.parametrize("state", JobState)
def test_only_a_job_with_a_runner_is_stuck_and_the_way_out_is_one_that_is_allowed(state: JobState) -> None:
    ways = {
        JobState.RUNNING: "milepost restart j-aaaaaaaa.",
        JobState.PAUSING: "milepost pause j-aaaaaaaa --now.",
        JobState.CANCELLING: "milepost force-cancel j-aaaaaaaa.",
    }
    stuck = [found for found in noticed(job(state), STUCK, 15.0) if found.kind is FindingKind.STUCK]
    assert [found.reason.remedy.endswith(ways[state]) for found in stuck] == [True] * (state in ways)
    assert does_not_get_on(stuck) is (state in ways)


def test_what_is_being_killed_is_not_stuck() -> None:
    restarting = job(stop=Stop(JobState.QUEUED, True, "ada", Reason("X", "Because."), NOW))
    assert noticed(restarting, STUCK) == ()


def test_other_findings_do_not_keep_a_job_from_getting_on() -> None:
    assert not does_not_get_on([Finding(FindingKind.AT_RISK, Reason("STORE_FULL", "Full."), NOW)])
    assert not does_not_get_on([])


class TestClocks:
    AWAKE = Awake(-math.inf, Clocks(100.0, 500.0))

    def test_looked_at_in_time_nothing_starts_afresh(self) -> None:
        after = self.AWAKE.looked(Clocks(101.0, 501.01)).looked(Clocks(110.0, 510.0))
        assert after.since == -math.inf
        assert after.bounded(90.0, 110.0) == 90.0

    def test_a_machine_that_slept(self) -> None:
        woken = self.AWAKE.looked(Clocks(101.0, 8501.0))
        assert woken.since == 101.0
        assert woken.bounded(90.0, 101.0) == 0.0  # just now, no time has passed for anybody
        later = woken.looked(Clocks(105.0, 8505.0))
        assert later.bounded(94.0, 105.0) == 4.0
        assert later.bounded(2.0, 105.0) == 2.0

    def test_a_daemon_that_was_kept_from_looking(self) -> None:
        assert self.AWAKE.looked(Clocks(111.0, 511.0)).since == 111.0

    def test_an_age_is_never_negative(self) -> None:
        assert self.AWAKE.looked(Clocks(111.0, 511.0)).bounded(5.0, 110.0) == 0.0
