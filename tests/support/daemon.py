"""A real daemon of a test's own: its folder, its socket, its processes, and nothing left behind."""

import asyncio
import atexit
import compileall
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

from milepost.common.client import Client, is_listening
from milepost.common.wire.enums import JOB_STATES
from milepost.core.model import JobState
from milepost.daemon.sdk_copy import copy_sdk
from milepost.v1 import job_pb2, job_service_pb2
from tests.support.wait import DEADLINE, wait_until

ROOT = Path(__file__).parents[2]
PIPELINES = ROOT / "tests" / "pipelines"
_STATES = {number: state for state, number in JOB_STATES.items()}


class RealDaemon:
    """Used as `async with real_daemon() as daemon`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / "state"
        self.socket = self.state / "daemon.sock"
        self.effects_file = folder / "effects"
        self.gate = folder / "gate"
        self.settings: dict[str, str] = {}
        self.module = "milepost.daemon.main"
        #: A control group to be started in.
        self.cgroup: Path | None = None
        self.client = Client(self.socket, "test")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("MILEPOST_")}
        own = {"PYTHONPATH": str(ROOT), "HOME": str(self.folder), "XDG_CONFIG_HOME": str(self.folder / "config")}
        return {**clean, **own, "MILEPOST_STATE_DIR": str(self.state), **self.settings}

    # --- the daemon's process ---

    def spawn(self) -> "subprocess.Popen[bytes]":
        """Starts the process and waits for nothing."""
        log = (self.folder / "daemon.log").open("ab")
        with log:
            self._process = subprocess.Popen(
                [*self._into_cgroup(), sys.executable, "-m", self.module],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.environment,
                cwd=self.folder,
                start_new_session=True,
            )
        return self._process

    def _into_cgroup(self) -> list[str]:
        """As systemd does it: the process is in its group before the daemon's first line runs."""
        return [] if self.cgroup is None else ["sh", "-c", 'echo 0 > "$0/cgroup.procs"; exec "$@"', str(self.cgroup)]

    async def start(self) -> None:
        self.spawn()

        async def serving() -> bool:
            assert self._process is not None
            assert self._process.poll() is None, (self.folder / "daemon.log").read_text()
            return is_listening(self.socket)

        await wait_until(serving, "the daemon serves")

    def kill(self) -> None:
        """With -9: nothing gets a chance to tidy up."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def terminate(self) -> int:
        assert self._process is not None
        self._process.terminate()
        return self._process.wait(DEADLINE)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def log(self) -> str:
        return (self.folder / "daemon.log").read_text()

    # --- jobs ---

    async def submit(
        self, pipeline: str = "work.py", *, parameters: dict[str, Any] | None = None, **more: Any
    ) -> job_pb2.Job:
        """A job of a pipeline in tests/pipelines, with an effects file and a gate of the test's own."""
        given = {"count": 20, "effects": str(self.effects_file), "gate": str(self.gate), **(parameters or {})}
        request = job_service_pb2.SubmitJobRequest(
            python_pipeline=job_service_pb2.PythonPipeline(file=str(PIPELINES / pipeline)),
            parameters_json=json.dumps(given),
            **more,
        )
        return (await self.client.call(self.client.jobs.SubmitJob, request)).job

    async def job(self, job_id: str) -> job_pb2.Job:
        return (await self.client.call(self.client.jobs.GetJob, job_service_pb2.GetJobRequest(job=job_id))).job

    async def wait_for(
        self, job_id: str, condition: Callable[[job_pb2.Job], object], what: str, deadline: float = DEADLINE
    ) -> job_pb2.Job:
        last: job_pb2.Job | None = None

        async def fulfilled() -> job_pb2.Job | None:
            nonlocal last
            last = await self.job(job_id)
            return last if condition(last) else None

        try:
            return await wait_until(fulfilled, what, deadline)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{last}\n{self.log()[-4000:]}\n{self.run_log(job_id)[-4000:]}") from None

    async def wait_state(self, job_id: str, *states: JobState, deadline: float = DEADLINE) -> job_pb2.Job:
        return await self.wait_for(job_id, lambda job: state_of(job) in states, f"{job_id} is {states}", deadline)

    async def at_gate(self, job_id: str, open_items: int, waiting: int = 16) -> job_pb2.Job:
        """When a job of work.py has recorded what passes without the gate, and so many items wait at it.

        That so many are in flight is told before, too, of items that are about to pass.
        """
        passed = open_items - open_items // 10  # each tenth is skipped
        await self.wait_effects(passed + waiting)
        return await self.wait_for(
            job_id,
            lambda job: (counts_of(job, "work").processed, counts_of(job, "work").in_flight) == (passed, waiting),
            f"{passed} are recorded, {waiting} wait at the gate",
        )

    async def held(self, method: Any, request: Any) -> Any:  # Any: a pause or a cancel, the stubs' own types
        """Its answer when nothing of the job starts any more: one that comes before that is asked for again."""
        request.request_id = request.request_id or f"held-{request.job}"

        async def holding() -> Any:  # Any: as above
            answer = await self.client.call(method, request)
            return answer if answer.holding else None

        return await wait_until(holding, "nothing starts any more")

    async def events(self, job_id: str) -> list[job_pb2.Event]:
        request = job_service_pb2.ListEventsRequest(job=job_id, page_size=1000)
        return list((await self.client.call(self.client.jobs.ListEvents, request)).events)

    def run_log(self, job_id: str) -> str:
        logs = sorted((self.state / "jobs" / job_id / "logs").glob("run-*.log"))
        return "".join(f"--- {log.name}\n{log.read_text(errors='replace')}" for log in logs)

    # --- witnesses ---

    def effects(self, word: str = "work") -> Counter[str]:
        """How often each item was really executed."""
        text = self.effects_file.read_text() if self.effects_file.exists() else ""
        pairs = [line.split(" ", 1) for line in text.splitlines()]
        return Counter(key for kind, key in pairs if kind == word)

    async def wait_effects(self, number: int, word: str = "work") -> Counter[str]:
        async def enough() -> Counter[str] | None:
            found = self.effects(word)
            return found if sum(found.values()) >= number else None

        return await wait_until(enough, f"{number} times {word!r} in the effects file")

    def processes(self, text: str = "") -> dict[int, str]:
        """Command lines of the runners and what is below them, by pid, that have this text in them."""
        found = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != self.pid:
                command = _read(entry / "cmdline").replace("\0", " ")
                if (str(self.folder) in command or self._is_below(entry)) and text in command:
                    found[int(entry.name)] = command
        return found

    def _is_below(self, entry: Path) -> bool:
        environment = _read(entry / "environ")
        return str(self.state) in environment and "MILEPOST_RUN=" in environment

    def runner_pid(self, job_id: str) -> int:
        [pid] = [pid for pid, command in self.processes("milepost.runner").items() if job_id in command]
        return pid

    async def close(self) -> None:
        await self.client.__aexit__(None, None, None)
        if self._process is not None and self._process.poll() is None:
            self.kill()
        for pid in self.processes() if self._process is not None else ():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


def state_of(job: job_pb2.Job) -> JobState:
    return _STATES[job.state]


def counts_of(job: job_pb2.Job, step: str) -> job_pb2.Counts:
    return next(found.counts for found in job.steps if found.name == step)


def labels_of(job: job_pb2.Job) -> dict[str, int]:
    """Items by label, or by plain outcome where there is none."""
    return {
        entry.label or job_pb2.Outcome.Name(entry.outcome).removeprefix("OUTCOME_").lower(): entry.count
        for entry in job.outcomes
    }


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode(errors="replace")
    except OSError:
        return ""


@asynccontextmanager
async def real_daemon(**settings: str) -> AsyncIterator[RealDaemon]:
    """`settings`: MILEPOST_ variables."""
    async with daemon_to_be(**settings) as daemon:
        shutil.copytree(_used_sdk(), daemon.state)
        await daemon.start()
        yield daemon


@cache
def _used_sdk() -> Path:
    """A state folder with an SDK that was used before, so that no test's first worker has to compile it."""
    state = Path(tempfile.mkdtemp(prefix="mp-sdk-"))
    atexit.register(shutil.rmtree, state)
    compileall.compile_dir(copy_sdk(state), quiet=2)
    return state


@asynccontextmanager
async def daemon_to_be(**settings: str) -> AsyncIterator[RealDaemon]:
    """Not started. The folder has a short path: a socket's may have 107 bytes."""
    folder = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="mp-"))
    daemon = RealDaemon(folder)
    daemon.settings.update(settings)
    try:
        yield daemon
    finally:
        await daemon.close()
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
