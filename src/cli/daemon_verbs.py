"""`daemon start|stop|restart|status|stats`, `config`, `version`: the program itself."""

import asyncio
import contextlib
import os
import select
import sys
from collections.abc import Iterator

import milepost
from milepost.cli.context import CLIENT_NAME, Context
from milepost.cli.documents import document
from milepost.cli.exit_codes import Exit
from milepost.cli.parser import Verbs
from milepost.common import paths
from milepost.common.client import Client, is_listening
from milepost.common.text import safe, seconds_words
from milepost.common.words import reason_words, unix_seconds
from milepost.core.errors import Code, MilepostError
from milepost.v1 import daemon_service_pb2 as pb

#: A pause waits for tasks in flight.
STOP_DEADLINE = 3700.0
END_DEADLINE = 30.0
#: Settings that say which daemon is meant.
_PLACE = ("state_dir", "socket")
#: Where settings come from that only the process has.
_GIVEN = ("flag", "environment")
_ACTIVE = ("RUNNING", "PAUSING", "CANCELLING")
_MODES = {"leave": pb.DRAIN_MODE_LEAVE, "pause": pb.DRAIN_MODE_PAUSE, "kill": pb.DRAIN_MODE_KILL}


def add_verbs(verbs: Verbs) -> None:
    group = verbs.group("daemon", "start, stop or look at the daemon; verbs start it by themselves")
    group.add("start", start, "start the daemon, unless one serves already", "milepost daemon start")
    stopping = group.add(
        "stop",
        stop,
        "stop the daemon; asks what becomes of running jobs, and leaves them where nobody can be asked",
        "milepost daemon stop\nmilepost daemon stop --pause",
    )
    modes = stopping.add_mutually_exclusive_group()
    modes.add_argument(
        "--leave", dest="mode", action="store_const", const="leave", help="running jobs go on and find the next daemon"
    )
    modes.add_argument(
        "--pause", dest="mode", action="store_const", const="pause", help="running jobs are paused first"
    )
    modes.add_argument(
        "--kill", dest="mode", action="store_const", const="kill", help="what is in flight is killed; jobs are PAUSED"
    )
    group.add(
        "restart",
        restart,
        "stop the daemon and start one of this version; running jobs go on meanwhile",
        "milepost daemon restart",
    )
    group.add("status", status, "whether a daemon serves, and what it has", "milepost daemon status --json")
    group.add(
        "stats",
        stats,
        "load of the machine and of the daemon, over a second",
        "milepost daemon stats\nmilepost daemon stats --json | jq .machine.disk_free_bytes",
    )
    verbs.add("config", config, "every setting, its value, where that came from, and what it means", "milepost config")
    verbs.add("version", version, "the version of this command, and of the daemon if one serves", "milepost version")


async def start(context: Context) -> Exit:
    started = await context.start_daemon()
    info = await _info(context)
    if context.json:
        context.out_json({**document(info), "started": started})
    else:
        context.out(f"{'Serving' if started else 'Already serving'} {info.state_folder} (pid {info.pid}).")
    return Exit.DONE


async def stop(context: Context) -> Exit:
    if not _serving(context):
        context.say(f"No daemon serves {context.settings.state_dir}.")
        if context.json:
            context.out_json({"stopped": False, "job_ids": []})
        return Exit.DONE
    info = await _info(context)
    running = sum(info.jobs_by_state[state] for state in _ACTIVE if state in info.jobs_by_state)
    mode = context.arguments.mode or _ask_mode(context, running)
    if running and mode == "pause":
        context.say(f"Pausing {_jobs(running)}; tasks in flight complete first.")
    answer = await _drain(context, info.pid, mode)
    if context.json:
        context.out_json({"stopped": True, **document(answer)})
    else:
        context.out(safe(answer.message) or f"Stopped. {_jobs(len(answer.job_ids))} were running: {mode}.")
    return Exit.DONE


async def restart(context: Context) -> Exit:
    """Where none serves, one is started all the same: a daemon of this version serves afterwards."""
    left: list[str] = []
    if _serving(context):
        old = await _info(context)
        _refuse_restart(context, old)
        left += (await _drain(context, old.pid, "leave")).job_ids
    started = await context.start_daemon()
    info = await _info(context)
    if context.json:
        context.out_json({**document(info), "started": started, "job_ids": left})
        return Exit.DONE
    went_on = f" {_jobs(len(left))} went on meanwhile." if left else ""
    context.out(f"Serving {safe(info.state_folder)} (pid {info.pid}, version {info.version}).{went_on}")
    return Exit.DONE


def _refuse_restart(context: Context, old: pb.GetInfoResponse) -> None:
    """Where this command would not start it as it was started."""
    from milepost.common.daemon_start import command_to_restart_unit  # as in Context.start_daemon

    command = command_to_restart_unit(old.pid)
    if command:
        raise MilepostError(
            Code.NOT_ALLOWED,
            "systemd runs this daemon, and would not know of one that this command starts. Nothing was stopped.",
            f"Restart its unit: {command}. Running jobs go on meanwhile.",
        )
    ours = {setting.name: setting.value for setting in context.settings.described()}
    dropped = [
        setting.name
        for setting in old.settings
        if setting.source in _GIVEN and setting.name not in _PLACE and ours.get(setting.name) != setting.value
    ]
    if dropped:
        raise MilepostError(
            Code.NOT_ALLOWED,
            "This daemon was given settings by its flags or its environment, which a restart from here would drop: "
            f"{', '.join(dropped)}. Nothing was stopped.",
            "Stop it (milepost daemon stop) and start milepostd with its flags and environment, "
            "or put them into the settings file.",
        )


async def _drain(context: Context, pid: int, mode: str) -> pb.DrainResponse:
    """Returns when the process has ended, so that its state folder is free."""
    async with _client(context) as client:
        with _pidfd(pid) as process:
            answer = await client.call(client.daemon.Drain, pb.DrainRequest(mode=_MODES[mode]), STOP_DEADLINE)
            await _wait_end(process)
    return answer


def _ask_mode(context: Context, running: int) -> str:
    if not running or not context.can_ask:
        return "leave"
    question = f"{_jobs(running)} running. Leave them running, pause or kill them? [leave/pause/kill] "
    with contextlib.suppress(EOFError):
        answer = context.ask(question).lower()
        for mode in _MODES:
            if answer and mode.startswith(answer):
                return mode
        if not answer:
            return "leave"
    raise MilepostError(Code.INVALID_ARGUMENT, "The daemon was not stopped.", "Say --leave, --pause or --kill.")


def _jobs(number: int) -> str:
    return "1 job" if number == 1 else f"{number} jobs"


@contextlib.contextmanager
def _pidfd(pid: int) -> Iterator[int | None]:
    try:
        descriptor = os.pidfd_open(pid)
    except OSError:
        yield None
        return
    try:
        yield descriptor
    finally:
        os.close(descriptor)


async def _wait_end(process: int | None) -> None:
    if process is None:
        return
    if not await asyncio.to_thread(_ended, process):
        raise MilepostError(
            Code.TIMED_OUT, "The daemon has not ended yet.", "Its log (daemon.log in the state folder) tells why."
        )


def _ended(process: int) -> bool:
    readable, _, _ = select.select([process], [], [], END_DEADLINE)
    return bool(readable)


async def stats(context: Context) -> Exit:
    from milepost.cli.stats import daemon_stats

    _refuse_without_daemon(context)
    async with _client(context) as client:
        return await daemon_stats(context, client)


def _refuse_without_daemon(context: Context) -> None:
    if not _serving(context):
        raise MilepostError(
            Code.DAEMON_UNREACHABLE,
            f"No daemon serves {context.settings.state_dir}.",
            "Start it: milepost daemon start. Any verb that needs it does so too.",
        )


async def status(context: Context) -> Exit:
    _refuse_without_daemon(context)
    info = await _info(context)
    if context.json:
        context.out_json(document(info))
        return Exit.DONE
    import time

    jobs = ", ".join(f"{number} {state}" for state, number in sorted(info.jobs_by_state.items()) if number)
    uptime = seconds_words(time.time() - unix_seconds(info.start_time))
    context.out(f"Serving {safe(info.state_folder)} for {uptime} (pid {info.pid}, version {info.version}).")
    context.out(f"  jobs      {jobs or 'none'}")
    if info.HasField("paused"):
        context.out(f"  paused    {reason_words(info.paused)}")
    context.out(f"  socket    {safe(info.socket)}")
    context.out(f"  store     schema {info.schema_version}, SQLite {info.sqlite_version}, revision {info.revision}")
    context.out(f"  python    {info.python_version}")
    trees = f"cgroup.kill, below {safe(info.cgroup)}" if info.cgroup else "a sweep of /proc"
    context.out(f"  trees     ended by {trees}")
    return Exit.DONE


async def config(context: Context) -> Exit:
    described = context.settings.described()
    if context.json:
        keys = ("name", "value", "source", "description")
        context.out_json({"settings": [{key: getattr(setting, key) for key in keys} for setting in described]})
        return Exit.DONE
    context.out_table_with_notes(
        ["SETTING", "VALUE", "FROM", "MEANING"],
        [[setting.name, setting.value or "—", setting.source] for setting in described],
        [setting.description for setting in described],
    )
    context.say("Change them by MILEPOST_<NAME>, by flags of milepostd, or in the file")
    context.say(str(paths.config_file(context.environ)))
    return Exit.DONE


async def version(context: Context) -> Exit:
    info = await _info(context) if _serving(context) else None
    python = sys.version.split()[0]
    if context.json:
        daemon = info.version if info is not None else None
        context.out_json({"version": milepost.__version__, "python_version": python, "daemon_version": daemon})
        return Exit.DONE
    context.out(f"milepost {milepost.__version__} (Python {python})")
    if info is not None and info.version != milepost.__version__:
        note = f"note: the daemon is of version {info.version}; restart it: milepost daemon restart"
        context.say(context.as_called(note))
    return Exit.DONE


def _serving(context: Context) -> bool:
    return is_listening(paths.find_socket(context.settings.state_dir, context.settings.socket))


async def _info(context: Context) -> pb.GetInfoResponse:
    async with _client(context) as client:
        return await client.call(client.daemon.GetInfo, pb.GetInfoRequest())


def _client(context: Context) -> Client:
    return Client(paths.find_socket(context.settings.state_dir, context.settings.socket), CLIENT_NAME)
