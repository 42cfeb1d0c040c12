"""Verbs start the daemon when none answers; `daemon start|stop|restart|status` (E3)."""

import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from milepost.common.client import is_listening
from milepost.common.processes import identify, kill_tree
from milepost.core.model import JobState
from tests.support.cli import run_cli
from tests.support.daemon import ROOT, RealDaemon, state_of
from tests.support.wait import wait_until


@pytest.fixture
async def environment() -> AsyncIterator[dict[str, str]]:
    """Of a person whose state folder has no daemon; one that a test starts is ended."""
    folder = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="mp-"))
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("MILEPOST_") and name != "XDG_RUNTIME_DIR"
    }
    own = {**clean, "PYTHONPATH": str(ROOT), "HOME": str(folder), "MILEPOST_STATE_DIR": str(folder / "state")}
    yield own
    found = await run_cli(own, "daemon", "status", "--json")
    if found.code == 0:
        os.kill(found.document["pid"], signal.SIGKILL)
    shutil.rmtree(folder, ignore_errors=True)


def has_ended(pid: int) -> bool:
    """A process that nobody has waited for yet has no command line any more."""
    command = Path("/proc", str(pid), "cmdline")
    return not command.exists() or not command.read_bytes()


async def test_a_verb_starts_the_daemon_and_says_so(environment: dict[str, str]) -> None:
    state = Path(environment["MILEPOST_STATE_DIR"])
    first = await run_cli(environment, "ls", "--json")
    assert (first.code, first.document) == (0, {"jobs": []})
    assert f"Started the daemon for {state}" in first.err
    assert (await run_cli(environment, "ls")).err == "There are no jobs yet: milepost run --help\n"
    status = (await run_cli(environment, "daemon", "status", "--json")).document
    assert os.getsid(status["pid"]) != os.getsid(0)
    assert oct(state.stat().st_mode & 0o777) == "0o700"
    assert oct((state / "daemon.log").stat().st_mode & 0o777) == "0o600"


async def test_verbs_that_start_it_at_once_end_with_one(environment: dict[str, str]) -> None:
    done = await asyncio.gather(*(run_cli(environment, "ls", "--json") for _ in range(3)))
    assert [one.code for one in done] == [0, 0, 0], done
    pids = {(await run_cli(environment, "daemon", "status", "--json")).document["pid"] for _ in range(2)}
    assert len(pids) == 1


async def test_start_status_stop(environment: dict[str, str]) -> None:
    absent = await run_cli(environment, "daemon", "status", "--json")
    assert (absent.code, absent.document["error"]["code"]) == (5, "DAEMON_UNREACHABLE")
    started = await run_cli(environment, "daemon", "start", "--json")
    assert (started.code, started.document["started"]) == (0, True)
    again = await run_cli(environment, "daemon", "start", "--json")
    assert (again.document["started"], again.document["pid"]) == (False, started.document["pid"])
    stopped = await run_cli(environment, "daemon", "stop", "--json")
    assert (stopped.code, stopped.document["stopped"]) == (0, True)
    assert has_ended(started.document["pid"])
    assert (await run_cli(environment, "daemon", "stop")).code == 0


async def test_restart(environment: dict[str, str]) -> None:
    first = await run_cli(environment, "daemon", "restart", "--json")
    assert (first.code, first.document["started"], first.document["job_ids"]) == (0, True, [])
    second = await run_cli(environment, "daemon", "restart", "--json")
    assert second.code == 0, second
    assert second.document["pid"] != first.document["pid"]
    assert has_ended(first.document["pid"])


async def test_jobs_go_on_while_the_daemon_restarts(daemon: RealDaemon) -> None:
    job = await daemon.submit()
    await daemon.wait_effects(1)
    runner = daemon.runner_pid(job.id)
    done = await run_cli(daemon.environment, "daemon", "restart", "--json")
    assert (done.code, done.document["job_ids"]) == (0, [job.id]), done
    try:
        assert has_ended(daemon.pid)
        assert daemon.runner_pid(job.id) == runner
        daemon.gate.touch()
        assert (await daemon.wait_state(job.id, JobState.COMPLETED)).run_count == 1
    finally:
        os.kill(done.document["pid"], signal.SIGKILL)


@pytest.mark.parametrize(
    ("start", "message", "remedy"),
    [
        ("SYSTEMD_EXEC_PID=$$ exec {python} -m {module}", "systemd runs this daemon", "restart milepostd.service"),
        ("exec {python} -m {module} --max-running-jobs 3", "max_running_jobs", "start milepostd with its flags"),
        ("MILEPOST_MAX_RUNNING_JOBS=3 exec {python} -m {module}", "max_running_jobs", "flags and environment"),
    ],
)
async def test_a_daemon_that_restart_would_start_otherwise_is_left(
    environment: dict[str, str], start: str, message: str, remedy: str
) -> None:
    command = start.format(python=sys.executable, module="milepost.daemon.main")
    started = await asyncio.create_subprocess_exec(
        "sh", "-c", command, env=environment, cwd="/", stderr=subprocess.DEVNULL
    )

    async def serving() -> bool:
        return is_listening(Path(environment["MILEPOST_STATE_DIR"]) / "daemon.sock")

    await wait_until(serving, "the daemon serves")
    refused = await run_cli(environment, "daemon", "restart", "--json")
    assert (refused.code, refused.document["error"]["code"]) == (3, "NOT_ALLOWED")
    assert message in refused.document["error"]["message"]
    assert remedy in refused.document["error"]["remedy"]
    assert (await run_cli(environment, "daemon", "status", "--json")).document["pid"] == started.pid
    started.kill()
    await started.wait()


async def test_a_long_state_folder_works_all_the_same(environment: dict[str, str]) -> None:
    long = Path(environment["MILEPOST_STATE_DIR"]) / ("x" * 100) / "state"
    environment["MILEPOST_STATE_DIR"] = str(long)
    assert (await run_cli(environment, "ls")).code == 0
    status = await run_cli(environment, "daemon", "status", "--json")
    assert len(status.document["socket"]) <= 100
    assert (await run_cli(environment, "daemon", "stop")).code == 0


async def test_a_daemon_that_does_not_come_up_is_told_with_its_words(environment: dict[str, str]) -> None:
    state = Path(environment["MILEPOST_STATE_DIR"])
    state.mkdir(mode=0o700)
    (state / "store.db").write_bytes(b"this is no database, it is a text" * 100)
    done = await run_cli(environment, "ls", "--json")
    assert done.code == 5, done
    assert "store.db" in done.document["error"]["message"]
    assert not re.search("error:|next:| / ", str(done.document["error"])), "one error with one next step"
    assert str(state / "daemon.log") in done.document["error"]["remedy"]


async def test_a_socket_that_the_daemon_of_the_folder_does_not_have(daemon: RealDaemon) -> None:
    done = await run_cli(daemon.environment, "--socket", str(daemon.folder / "none"), "ls", "--json")
    assert done.code == 5, done
    told = done.document["error"]
    assert str(daemon.socket) in told["message"]
    assert told["remedy"].startswith(
        "Leave out the setting socket (--socket, MILEPOST_SOCKET): it is found by its state"
    )
    assert told["remedy"].endswith("daemon stop")
    assert "error:" not in told["message"] + told["remedy"]


@pytest.mark.parametrize(
    ("mode", "state"), [("--leave", JobState.RUNNING), ("--pause", JobState.PAUSED), ("--kill", JobState.PAUSED)]
)
async def test_what_becomes_of_running_jobs(daemon: RealDaemon, mode: str, state: JobState) -> None:
    job = await daemon.submit()
    await daemon.wait_effects(1)
    if mode == "--pause":
        daemon.gate.touch()
    done = await run_cli(daemon.environment, "daemon", "stop", mode)
    assert done.code == 0, done
    assert daemon.terminate() == 0  # it has ended already
    left = daemon.processes("milepost.runner")
    assert bool(left) is (mode == "--leave")
    await daemon.start()
    assert state_of(await daemon.job(job.id)) in ({state} if mode != "--pause" else {state, JobState.COMPLETED})


#: A runner in small: a subreaper below which the daemon is started, and which goes on.
LEADER = """
import ctypes, subprocess, sys, time
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
subprocess.run([sys.executable, "-m", "milepost.cli.main", "daemon", "start"], check=True, stdout=subprocess.DEVNULL)
print("ready", flush=True)
time.sleep(600)
"""


async def test_a_daemon_that_was_started_from_inside_a_job_survives_the_job(environment: dict[str, str]) -> None:
    mark = f"test-{os.getpid()}-inside"
    leader = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        LEADER,
        env={**environment, "MILEPOST_RUN": mark},
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert leader.stdout is not None
    assert await leader.stdout.readline() == b"ready\n"
    pid = (await run_cli(environment, "daemon", "status", "--json")).document["pid"]
    assert await asyncio.to_thread(kill_tree, mark, identify(leader.pid), 10) == []
    await leader.wait()
    assert (await run_cli(environment, "daemon", "status", "--json")).document["pid"] == pid
