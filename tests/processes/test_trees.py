"""Ending a run ends every process of it, however it hid, and nobody else: by its control group, or by a sweep.

Where this machine lets the test make no control group, the daemon says that it goes by sweeps, and both are the same.
"""

import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from milepost.common.processes import ProcessIdentity, identify, is_alive
from milepost.core.model import JobState
from milepost.v1 import daemon_service_pb2, job_pb2, job_service_pb2
from tests.support import hiding
from tests.support.cgroup import delegated_cgroup
from tests.support.daemon import RealDaemon, daemon_to_be
from tests.support.hiding import HIDDEN, RELEASED
from tests.support.wait import wait_until

#: The processes that were started in hiding, by name.
Tree = dict[str, ProcessIdentity]


@pytest.fixture(params=["cgroup", "sweep"])
async def daemon(request: pytest.FixtureRequest) -> AsyncIterator[RealDaemon]:
    with delegated_cgroup() as cgroup:
        async with daemon_to_be(MILEPOST_AUTO_RESUME_LIMIT="0") as daemon:
            daemon.cgroup = cgroup if request.param == "cgroup" else None
            await daemon.start()
            info = await daemon.client.call(daemon.client.daemon.GetInfo, daemon_service_pb2.GetInfoRequest())
            assert info.cgroup == str(daemon.cgroup or "")
            yield daemon
            for pid_file in daemon.folder.glob("hiding-*/*"):
                end(int(pid_file.read_text()), daemon.folder)


def end(pid: int, folder: Path) -> None:
    """What a test let live. It has an environment with this test's folder, or is a bare sleep."""
    command = Path(f"/proc/{pid}/cmdline")
    if command.exists() and command.read_bytes() == b"sleep\x00600\x00":
        os.kill(pid, signal.SIGKILL)


def argv(folder: Path) -> list[str]:
    return [sys.executable, hiding.__file__, str(folder)]


async def from_python(daemon: RealDaemon) -> tuple[job_pb2.Job, Tree]:
    folder = daemon.folder / "hiding-python"
    job = await daemon.submit("detaching.py", parameters={"argv": argv(folder)})
    return job, await tree(folder)


async def from_a_command(daemon: RealDaemon) -> tuple[job_pb2.Job, Tree]:
    folder, lines = daemon.folder / "hiding-command", daemon.folder / "lines"
    lines.write_text(f"{folder}\n")
    request = job_service_pb2.SubmitJobRequest(
        command_pipeline=job_service_pb2.CommandPipeline(argv=[*argv(folder)[:2], "{}"], concurrency=1),
        input_path=str(lines),
        working_directory=str(daemon.folder),
    )
    job = (await daemon.client.call(daemon.client.jobs.SubmitJob, request)).job
    return job, await tree(folder)


async def tree(folder: Path) -> Tree:
    async def complete() -> Tree | None:
        files = {name: folder / name for name in (*HIDDEN, RELEASED)}
        if not all(file.exists() for file in files.values()):
            return None
        found = {name: identify(int(file.read_text())) for name, file in files.items()}
        return {name: identity for name, identity in found.items() if identity is not None}

    return await wait_until(complete, f"all are hidden: {folder}")


def alive(hidden: Tree) -> set[str]:
    return {name for name, identity in hidden.items() if is_alive(identity)}


async def force_cancel(daemon: RealDaemon, job: job_pb2.Job) -> None:
    await daemon.client.call(daemon.client.jobs.ForceCancelJob, job_service_pb2.ForceCancelJobRequest(job=job.id))
    await daemon.wait_state(job.id, JobState.CANCELLED)


async def test_force_cancel_ends_one_whole_tree_and_nobody_else(daemon: RealDaemon) -> None:
    (one, of_one), (other, of_other) = await from_python(daemon), await from_a_command(daemon)
    # What ends the trees is found again by another daemon, and stopping one ends no job.
    assert daemon.terminate() == 0
    await daemon.start()
    assert alive(of_one) == alive(of_other) == HIDDEN | {RELEASED}
    await force_cancel(daemon, one)
    assert alive(of_one) == {RELEASED}, "nothing of it is alive when it says CANCELLED"
    assert alive(of_other) == HIDDEN | {RELEASED}
    # A runner that hangs cannot end its tree itself.
    os.kill(daemon.runner_pid(other.id), signal.SIGSTOP)
    await force_cancel(daemon, other)
    assert alive(of_other) == {RELEASED}
    assert not daemon.processes("milepost.runner")
    assert daemon.cgroup is None or list(daemon.cgroup.glob("run-*")) == []


async def test_what_a_killed_runner_leaves_is_ended(daemon: RealDaemon) -> None:
    job, hidden = await from_python(daemon)
    os.kill(daemon.runner_pid(job.id), signal.SIGKILL)
    await daemon.wait_for(job.id, lambda found: found.state != job_pb2.JOB_STATE_RUNNING, "its end is recorded")
    # A sweep has nothing to know a process by that cleared its environment and lost its parents: see ARCHITECTURE.md.
    unknown = set() if daemon.cgroup else {"bare"}
    assert alive(hidden) == {RELEASED} | unknown
