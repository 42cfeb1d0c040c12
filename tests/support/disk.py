"""Disks that fail: a small file system that can be filled, and faults that strace puts into a daemon's system calls."""

import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.support.daemon import RealDaemon

STRACE = shutil.which("strace")


class SmallDisk:
    """A tmpfs in which the state folder lies."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._filler = folder / "filler"

    def fill(self) -> None:
        with self._filler.open("ab", buffering=0) as file:
            for size in (1024 * 1024, 4096, 1):
                try:
                    while True:
                        file.write(b"\0" * size)
                except OSError:
                    continue

    def free(self) -> None:
        self._filler.unlink()


@asynccontextmanager
async def small_disk(folder: Path, size: str) -> AsyncIterator[SmallDisk]:
    folder.mkdir(mode=0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", folder], check=True)
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def can_mount(folder: Path) -> bool:
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode == 0:
        subprocess.run(["umount", folder], check=True)
    return mounted.returncode == 0


class FaultyDaemon:
    """Starts a daemon's process under strace, in which one system call of a thread fails."""

    def __init__(self, daemon: RealDaemon) -> None:
        self._daemon = daemon
        self._trace = daemon.folder / "trace"

    def start(self, call: str, error: str, number: int) -> "subprocess.Popen[bytes]":
        """`call` fails at its `number`-th time in each thread; what the daemon starts is left alone."""
        assert STRACE is not None
        fault = f"{call}:error={error}:when={number}"
        command = [
            STRACE,
            "-f",
            "-qq",
            "-b",
            "execve",
            "-o",
            str(self._trace),
            "-e",
            f"trace={call}",
            "-e",
            "signal=none",
        ]
        with (self._daemon.folder / "daemon.log").open("ab") as log:
            return subprocess.Popen(
                [*command, "-e", f"inject={fault}", sys.executable, "-m", "milepost.daemon.main"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._daemon.environment,
                cwd=self._daemon.folder,
                start_new_session=True,
            )

    @property
    def happened(self) -> bool:
        return self._trace.exists() and "(INJECTED)" in self._trace.read_text(errors="replace")

    @staticmethod
    def daemon_pid(strace: "subprocess.Popen[bytes]") -> int | None:
        children = Path(f"/proc/{strace.pid}/task/{strace.pid}/children").read_text().split()
        return int(children[0]) if children else None

    @staticmethod
    def end(strace: "subprocess.Popen[bytes]", number: int) -> int:
        """Sends the daemon a signal; strace ends as it does."""
        pid = FaultyDaemon.daemon_pid(strace)
        if pid is not None:
            os.kill(pid, number)
        return strace.wait(30)
