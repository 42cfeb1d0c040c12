"""DaemonService: what the daemon is, how it is loaded, and how it ends."""

import os
import platform
import sqlite3
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from milepost import __version__
from milepost.common.settings import DescribedSetting
from milepost.common.wire import job as wire
from milepost.common.wire.times import timestamp
from milepost.core.lifecycle import held_by_file
from milepost.daemon.circumstances import pause_file
from milepost.daemon.machine import Machine, MachineLoad
from milepost.daemon.rpc import checks
from milepost.daemon.rpc.caller import caller_of
from milepost.daemon.rpc.interceptor import Context
from milepost.daemon.rpc.job_service import Parts
from milepost.daemon.store import jobs
from milepost.v1 import daemon_service_pb2 as pb
from milepost.v1.daemon_service_pb2_grpc import DaemonServiceServicer

#: (mode, by, client) -> ids of the jobs that were running; the daemon stops afterwards.
Drain = Callable[["pb.DrainMode.ValueType", str, str], Awaitable[list[str]]]

_WHAT_HAPPENED = {
    pb.DRAIN_MODE_LEAVE: "goes on without the daemon",
    pb.DRAIN_MODE_PAUSE: "is paused",
    pb.DRAIN_MODE_KILL: "was ended and is paused",
}


class DaemonService(DaemonServiceServicer):
    def __init__(self, parts: Parts, socket: Path, settings: Sequence[DescribedSetting], drain: Drain) -> None:
        self._parts = parts
        self._store = parts.store
        self._machine = Machine(parts.folder)
        self._socket = socket
        self._settings = settings
        self._drain = drain
        self._start_time = time.time()

    async def GetInfo(self, request: pb.GetInfoRequest, context: Context) -> pb.GetInfoResponse:
        schema, by_state = await self._store.read(_schema_and_counts)
        return pb.GetInfoResponse(
            version=__version__,
            pid=os.getpid(),
            state_folder=str(self._parts.folder),
            socket=str(self._socket),
            start_time=timestamp(self._start_time),
            jobs_by_state=by_state,
            schema_version=schema,
            sqlite_version=sqlite3.sqlite_version,
            python_version=platform.python_version(),
            revision=self._store.revision,
            store_id=self._store.id,
            settings=[
                pb.GetInfoResponse.Setting(
                    name=setting.name, value=setting.value, source=setting.source, description=setting.description
                )
                for setting in self._settings
            ],
            cgroup=str(self._parts.cgroup or ""),
            paused=wire.reason(held_by_file(file)) if (file := pause_file(self._parts.folder)) else None,
        )

    async def GetStats(self, request: pb.GetStatsRequest, context: Context) -> pb.GetStatsResponse:
        by_state = await self._store.read(_counts)
        machine, daemon = self._machine.measure()
        return pb.GetStatsResponse(
            machine=_machine_message(machine),
            daemon=pb.DaemonStats(
                rss_bytes=daemon.rss,
                cpu_percent=daemon.cpu_percent,
                descriptors=daemon.descriptors,
                threads=daemon.threads,
                wal_bytes=self._store.wal_size,
            ),
            runners=self._parts.dispatch.attached,
            watchers=self._parts.hub.watchers,
            jobs_by_state=by_state,
        )

    async def Drain(self, request: pb.DrainRequest, context: Context) -> pb.DrainResponse:
        checks.request_id(request.request_id)
        if request.mode not in _WHAT_HAPPENED:
            checks.invalid("mode", f"has the value {request.mode}", "Use LEAVE, PAUSE or KILL.")
        caller = caller_of(context)
        running = await self._drain(request.mode, caller.by, caller.client)
        return pb.DrainResponse(job_ids=running, message=_message(request.mode, running))


def _schema_and_counts(db: sqlite3.Connection) -> tuple[int, dict[str, int]]:
    (schema,) = db.execute("PRAGMA user_version").fetchone()
    return schema, _counts(db)


def _counts(db: sqlite3.Connection) -> dict[str, int]:
    return {state.value: count for state, count in jobs.count_by_state(db).items()}


def _machine_message(machine: MachineLoad) -> pb.MachineStats:
    last_1m, last_5m, last_15m = machine.load_average
    return pb.MachineStats(
        cpu_percent=machine.cpu_percent,
        cores=machine.cores,
        load_1m=last_1m,
        load_5m=last_5m,
        load_15m=last_15m,
        memory_used_bytes=machine.memory_used,
        memory_total_bytes=machine.memory_total,
        disk_free_bytes=machine.disk_free,
        disk_total_bytes=machine.disk_total,
    )


def _message(mode: "pb.DrainMode.ValueType", running: Sequence[str]) -> str:
    if not running:
        return "The daemon stops; no job was running."
    each = ": each" if len(running) > 1 else ""
    return f"The daemon stops. {', '.join(running)}{each} {_WHAT_HAPPENED[mode]}."
