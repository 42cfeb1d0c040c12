"""Identity and ending of real processes."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from milepost.common import processes
from milepost.common.processes import ProcessIdentity, identify, is_alive, kill_tree

#: Forks twice, leaves session and parent, writes its pid, sleeps. argv: pid file; what becomes of its environment.
ESCAPE = """
import os, sys
if os.fork(): os._exit(0)
os.setsid()
if os.fork(): os._exit(0)
path, environment = sys.argv[1:]
environment = {"same": dict(os.environ), "none": {}, "other": {"MILEPOST_RUN": ""}}[environment]
with open(path + ".part", "w") as file: file.write(str(os.getpid()))
os.rename(path + ".part", path)
os.execve("/bin/sleep", ["sleep", "600"], environment)
"""
#: A runner in small: a subreaper that starts the escape, waits until it is out, and sleeps.
LEADER = """
import ctypes, os, subprocess, sys, time
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
subprocess.run([sys.executable, "-c", sys.argv[1], *sys.argv[2:]])
while not os.path.exists(sys.argv[2]): time.sleep(0.01)
print("ready", flush=True)
time.sleep(600)
"""


@pytest.fixture
def mark(tmp_path: Path) -> Iterator[str]:
    mark = f"test-{os.getpid()}-{tmp_path.name}"
    yield mark
    assert kill_tree(mark, None, 10) == []


def start_leader(mark: str, pid_file: Path, environment: str) -> subprocess.Popen[str]:
    leader = subprocess.Popen(
        [sys.executable, "-c", LEADER, ESCAPE, str(pid_file), environment],
        env={**os.environ, "MILEPOST_RUN": mark},
        start_new_session=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert leader.stdout is not None
    with leader.stdout:
        assert leader.stdout.readline() == "ready\n"
    return leader


def known(pid: int) -> ProcessIdentity:
    identity = identify(pid)
    assert identity is not None
    return identity


def test_a_process_is_not_another_one_with_its_number() -> None:
    own = known(os.getpid())
    assert is_alive(own)
    assert not is_alive(ProcessIdentity(own.pid, own.start_ticks + 1, own.boot_id))
    assert not is_alive(ProcessIdentity(own.pid, own.start_ticks, "another boot"))


def test_a_zombie_is_dead() -> None:
    child = subprocess.Popen(["true"])
    identity = known(child.pid)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert identify(child.pid) == identity
    assert not is_alive(identity)
    child.wait()


def test_a_signal_does_not_reach_a_stranger_with_the_same_number() -> None:
    with subprocess.Popen(["sleep", "600"]) as child:
        identity = known(child.pid)
        stranger = ProcessIdentity(identity.pid, identity.start_ticks - 1, identity.boot_id)
        assert not processes.send_signal(stranger, signal.SIGKILL)
        assert is_alive(identity)
        assert processes.send_signal(identity, signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL


@pytest.mark.parametrize("environment", ["same", "none"])
def test_a_grandchild_that_left_parent_and_session_is_ended_with_its_runner(
    tmp_path: Path, mark: str, environment: str
) -> None:
    leader = start_leader(mark, tmp_path / "pid", environment)
    escaped = known(int((tmp_path / "pid").read_text()))
    assert escaped in [process.identity for process in processes.descendants(leader.pid)]
    assert kill_tree(mark, known(leader.pid), 10) == []
    assert leader.wait() == -signal.SIGKILL
    assert not is_alive(escaped)


def test_the_mark_finds_what_a_dead_runner_left(tmp_path: Path, mark: str) -> None:
    leader = start_leader(mark, tmp_path / "pid", "same")
    identity, escaped = known(leader.pid), known(int((tmp_path / "pid").read_text()))
    leader.kill()
    leader.wait()
    assert is_alive(escaped)
    assert kill_tree(mark, identity, 10) == []
    assert not is_alive(escaped)


def test_who_carries_another_mark_is_spared(tmp_path: Path, mark: str) -> None:
    """As a daemon that was started from inside a job: the subreaper makes it a descendant of the runner."""
    leader = start_leader(mark, tmp_path / "pid", "other")
    daemon = known(int((tmp_path / "pid").read_text()))
    assert daemon in [process.identity for process in processes.descendants(leader.pid)]
    try:
        assert kill_tree(mark, known(leader.pid), 10) == []
        assert is_alive(daemon)
    finally:
        assert processes.send_signal(daemon, signal.SIGKILL)
        leader.wait()


#: Ends its own tree and says what was left of it.
ROOT = """
import os, subprocess
from milepost.common.processes import identify, kill_family
child = subprocess.Popen(["/bin/sleep", "600"])
print(kill_family("", identify(os.getpid()), 10), child.wait())
"""


def test_the_caller_is_never_ended() -> None:
    root = subprocess.run(
        [sys.executable, "-c", ROOT], start_new_session=True, capture_output=True, text=True, check=True
    )
    assert root.stdout == "[] -9\n"
