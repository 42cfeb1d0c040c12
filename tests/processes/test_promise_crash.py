"""Nothing lost, nothing doubled, while daemon, runner and worker are killed: the effects file is the witness."""

import os
import signal

import pytest

from milepost.core.model import JobState
from tests.support.daemon import RealDaemon, counts_of, real_daemon, state_of
from tests.support.promise import attempts, let_pass, recorded, submit
from tests.support.wait import wait_until

WORDS = ("prepare", "work", "done", "finish")


def keys(count: int) -> list[str]:
    return [f"item-{number:03}" for number in range(count)]


@pytest.mark.parametrize(("at_once", "kills"), [(1, 4), (16, 4), (64, 10)])
async def test_daemons_killed_in_a_row_make_no_task_execute_twice(daemon: RealDaemon, at_once: int, kills: int) -> None:
    count = (kills + 2) * at_once
    failing = keys(count)[kills * at_once :: 2]
    let_pass(daemon, 0)
    job = await submit(daemon, f"work{at_once}", count=count, failing=failing)
    await recorded(daemon, job.id, 0, at_once)
    runner = daemon.runner_pid(job.id)
    for killed in range(1, kills + 1):
        if killed % 2:  # what passes now is reported while the daemon dies
            let_pass(daemon, killed * at_once)
            daemon.kill()
        else:  # and now while there is none
            daemon.kill()
            let_pass(daemon, killed * at_once)
            await daemon.wait_effects(killed * at_once, "done")
        await daemon.start()
        found = await recorded(daemon, job.id, killed * at_once, at_once)
        assert (state_of(found), daemon.runner_pid(job.id)) == (JobState.RUNNING, runner)
    let_pass(daemon, count)
    completed = await daemon.wait_state(job.id, JobState.COMPLETED)
    once = dict.fromkeys(keys(count), 1)
    assert {word: daemon.effects(word) for word in WORDS} == dict.fromkeys(WORDS, once)
    assert daemon.effects("failed") == daemon.effects("again") == dict.fromkeys(failing, 1)
    assert await attempts(daemon, job.id) == failing
    assert (completed.run_count, completed.counts.succeeded) == (1, count)


async def test_a_runner_without_a_daemon_spools_and_ends_and_the_next_daemon_begins_with_that() -> None:
    async with real_daemon(MILEPOST_RUNNER_LEASE="1") as daemon:
        count = 64
        failing = keys(count)[17::4]
        let_pass(daemon, 16)
        job = await submit(daemon, "work16", count=count, failing=failing)
        await daemon.wait_effects(32)
        await recorded(daemon, job.id, 16, 16)
        runner = daemon.runner_pid(job.id)
        daemon.kill()

        async def holds() -> bool:
            return "hold: The daemon has been away for 1 s." in daemon.run_log(job.id)

        async def is_gone() -> bool:
            return not daemon.processes()

        await wait_until(holds, "its lease has run out")
        let_pass(daemon, 32)

        await wait_until(is_gone, f"the runner {runner} has ended with all that is below it")
        assert (daemon.state / "jobs" / job.id / "spool" / "run-1").exists()
        done, failed = daemon.effects("done"), daemon.effects("failed")
        assert (len(done), len(failed)) == (28, 4)
        let_pass(daemon, 0)  # nothing of what runs again may add to the counts
        await daemon.start()
        found = await daemon.job(job.id)
        assert counts_of(found, "work").succeeded == len(done)
        assert await attempts(daemon, job.id) == sorted(failed)
        let_pass(daemon, count)
        completed = await daemon.wait_state(job.id, JobState.COMPLETED)
        once = dict.fromkeys(keys(count), 1)
        assert {word: daemon.effects(word) for word in WORDS} == dict.fromkeys(WORDS, once)
        assert daemon.effects("failed") == daemon.effects("again") == dict.fromkeys(failing, 1)
        assert await attempts(daemon, job.id) == failing
        assert (completed.counts.succeeded, completed.run_count) == (count, 2)


async def test_daemon_runner_and_worker_killed_at_once_cost_only_what_was_not_acknowledged(daemon: RealDaemon) -> None:
    count = 300
    let_pass(daemon, 100)
    job = await submit(daemon, "work64", count=count)
    await recorded(daemon, job.id, 100, 64)
    acknowledged = daemon.effects("done")
    [worker] = daemon.processes(f"{daemon.state}/sdk/")
    runner = daemon.runner_pid(job.id)
    let_pass(daemon, 200)
    await daemon.wait_effects(120, "done")
    for pid in (daemon.pid, runner, worker):
        os.kill(pid, signal.SIGKILL)
    daemon.kill()
    let_pass(daemon, count)
    await daemon.start()
    completed = await daemon.wait_state(job.id, JobState.COMPLETED)
    executed, done = daemon.effects(), daemon.effects("done")
    assert {key: executed[key] for key in acknowledged} == dict.fromkeys(acknowledged, 1)
    assert sorted(done) == keys(count)
    assert max(executed.values()) <= 2
    assert sum(executed.values()) <= count + 100 + 64
    assert (completed.counts.succeeded, completed.run_count) == (count, 2)


async def test_a_state_that_was_saved_behind_other_reports_is_found_again(daemon: RealDaemon) -> None:
    job = await submit(daemon, "saving", count=200)
    saved = await daemon.wait_effects(200, "saved")
    os.kill(daemon.runner_pid(job.id), signal.SIGKILL)
    completed = await daemon.wait_state(job.id, JobState.COMPLETED)
    assert daemon.effects("found") == saved
    assert completed.counts.succeeded == 200
