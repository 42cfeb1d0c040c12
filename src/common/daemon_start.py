"""Starts the daemon when a client finds none, detached from the terminal, and waits until it serves.

In this order: the installed user unit (for the default state folder, which is the one it serves), a scope of the
systemd user manager, a session of its own. Starting twice at once is harmless: the daemon locks its state folder, so
one wins and the others end.
"""

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import milepost
from milepost.common import paths
from milepost.common.client import Client, is_listening
from milepost.common.processes import MARK_VARIABLE
from milepost.common.settings import Settings
from milepost.core.errors import Code, MilepostError

READY_DEADLINE = 30.0
UNIT = "milepostd.service"
_UNIT_FOLDERS = ("/etc/systemd/user", "/usr/local/lib/systemd/user", "/usr/lib/systemd/user")


@dataclass(frozen=True)
class Started:
    """How the daemon was started, in words, and what a person should know about it (empty: nothing)."""

    how: str
    warning: str = ""


async def ensure_daemon(settings: Settings, environ: Mapping[str, str]) -> Started | None:
    """None when a daemon answers already; else starts one and waits until it serves.

    Raises MilepostError(DAEMON_UNREACHABLE) with the end of the daemon's log when it does not come up, or when the one
    of this folder listens elsewhere.
    """
    if is_listening(paths.find_socket(settings.state_dir, settings.socket)):
        return None
    _refuse_other_socket(settings)
    paths.ensure_private_folder(settings.state_dir)
    log = settings.state_dir / paths.LOG_NAME
    log_start = log.stat().st_size if log.exists() else 0
    started, process = await asyncio.to_thread(_start, settings, environ, log)
    await _wait_serving(settings, process, log, log_start)
    return started


def _refuse_other_socket(settings: Settings) -> None:
    there = paths.find_socket(settings.state_dir, None)
    if settings.socket is not None and is_listening(there):
        raise MilepostError(
            Code.DAEMON_UNREACHABLE,
            f"No daemon listens at {settings.socket}: that of {settings.state_dir} does at {there}.",
            "Leave out the setting socket (--socket, MILEPOST_SOCKET): it is found by its state folder. "
            "Or stop it: milepost daemon stop",
        )


def command_to_restart_unit(pid: int) -> str:
    """What restarts this daemon where it is the process that systemd started for a unit; elsewhere empty."""
    process = Path("/proc", str(pid))
    try:
        started_by_systemd = f"SYSTEMD_EXEC_PID={pid}".encode() in (process / "environ").read_bytes().split(b"\0")
        group = (process / "cgroup").read_text()
    except OSError:
        return ""
    if not started_by_systemd:
        return ""
    # As /user.slice/user-1000.slice/user@1000.service/app.slice/milepostd.service: the last one is its own.
    units = [part for part in group.split("/") if part.strip().endswith(".service")]
    manager = "systemctl --user" if "/user@" in group else "systemctl"
    return f"{manager} restart {units[-1].strip() if units else UNIT}"


def _start(
    settings: Settings, environ: Mapping[str, str], log: Path
) -> "tuple[Started, subprocess.Popen[bytes] | None]":
    # From inside a job it is a descendant of that job's run: only another mark, the empty one, says that it is not.
    clean = {**environ, MARK_VARIABLE: ""}
    with_manager = _user_manager_answers(environ)
    warning = "" if _lingers(environ) else "It ends when you log out: `loginctl enable-linger` keeps it."
    if with_manager and _serves_default_folder(settings, environ) and _unit_installed(environ):
        done = subprocess.run(
            ["systemctl", "--user", "start", UNIT], capture_output=True, text=True, timeout=READY_DEADLINE, check=False
        )
        if done.returncode == 0:
            return Started(f"as the user unit {UNIT}", warning), None
    command = [sys.executable, "-m", "milepost.daemon.main", "--state-dir", str(settings.state_dir)]
    if settings.socket is not None:
        command += ["--socket", str(settings.socket)]
    if with_manager and shutil.which("systemd-run", path=environ.get("PATH")):
        scope = ["systemd-run", "--user", "--scope", "--quiet", "--collect", "--property=Delegate=yes", "--"]
        return Started("in a scope of your systemd user manager", warning), _spawn([*scope, *command], clean, log)
    return Started("in a session of its own"), _spawn(command, clean, log)


def _spawn(command: list[str], environ: Mapping[str, str], log: Path) -> "subprocess.Popen[bytes]":
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=dict(environ),
            cwd=_import_folder(),
            start_new_session=True,
        )
    finally:
        os.close(output)


def _import_folder() -> Path:
    """Where `-m milepost…` finds this very package; a folder that cannot vanish when it is installed anyway."""
    root = Path(milepost.__file__).parent.parent
    return Path("/") if root.name in ("site-packages", "dist-packages") else root


async def _wait_serving(
    settings: Settings, process: "subprocess.Popen[bytes] | None", log: Path, log_start: int
) -> None:
    clock = asyncio.get_running_loop().time
    deadline = clock() + READY_DEADLINE
    while clock() < deadline:
        socket = paths.find_socket(settings.state_dir, settings.socket)
        if is_listening(socket) and await _serves(socket):
            return
        ended = process.poll() if process is not None else None
        if ended == paths.FOLDER_TAKEN:  # the other one may still be coming up
            deadline = min(deadline, clock() + 5.0)
            process = None
        elif ended is not None:
            break
        await asyncio.sleep(0.02)
    said, advice = _last_words(log, log_start)
    raise MilepostError(
        Code.DAEMON_UNREACHABLE,
        f"The daemon did not come up. {said}".strip(),
        f"{advice} Its log is {log}.".strip(),
        {"log": str(log)},
    )


async def _serves(socket: Path) -> bool:
    async with Client(socket, "start") as client:
        try:
            await client.check_serving(2.0)
        except MilepostError:
            return False
    return True


def _last_words(log: Path, start: int) -> tuple[str, str]:
    """What this start wrote last: its error and what to do about it, else its last lines."""
    try:
        with log.open("rb") as file:
            file.seek(max(start, log.stat().st_size - 2000))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return "", ""
    told = {kind: text for line in lines for kind, _, text in [line.partition(": ")]}
    if "error" in told:
        return told["error"], told.get("next", "")
    return " / ".join(line.strip() for line in lines[-5:] if line.strip()), ""


def _user_manager_answers(environ: Mapping[str, str]) -> bool:
    runtime = environ.get("XDG_RUNTIME_DIR", "")
    if not runtime or not Path(runtime, "systemd", "private").exists():
        return False
    if shutil.which("systemctl", path=environ.get("PATH")) is None:
        return False
    try:
        asked = subprocess.run(
            ["systemctl", "--user", "show", "--property=Version"], capture_output=True, timeout=5, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return asked.returncode == 0


def _serves_default_folder(settings: Settings, environ: Mapping[str, str]) -> bool:
    return settings.socket is None and settings.state_dir == paths.default_state_folder(environ)


def _unit_installed(environ: Mapping[str, str]) -> bool:
    folders = [paths.config_file(environ).parent.parent / "systemd" / "user"]
    if environ.get("HOME"):
        folders.append(Path(environ["HOME"], ".local", "share", "systemd", "user"))
    folders += [Path(folder) for folder in _UNIT_FOLDERS]
    return any((folder / UNIT).exists() for folder in folders)


def _lingers(environ: Mapping[str, str]) -> bool:
    import pwd

    try:
        user = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        user = environ.get("USER", "")
    return bool(user) and Path("/var/lib/systemd/linger", user).exists()
