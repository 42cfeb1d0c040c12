"""The gRPC server on its Unix socket: the services, health and reflection."""

import asyncio
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from milepost.common.settings import DescribedSetting
from milepost.core.errors import Code, MilepostError
from milepost.daemon.rpc.daemon_service import DaemonService, Drain
from milepost.daemon.rpc.interceptor import Interceptor
from milepost.daemon.rpc.job_service import JobService, Parts
from milepost.daemon.rpc.runner_service import RunnerService
from milepost.v1 import daemon_service_pb2, job_service_pb2, runner_service_pb2
from milepost.v1.daemon_service_pb2_grpc import add_DaemonServiceServicer_to_server
from milepost.v1.job_service_pb2_grpc import add_JobServiceServicer_to_server
from milepost.v1.runner_service_pb2_grpc import add_RunnerServiceServicer_to_server

_JOB_SERVICE = job_service_pb2.DESCRIPTOR.services_by_name["JobService"].full_name
_DAEMON_SERVICE = daemon_service_pb2.DESCRIPTOR.services_by_name["DaemonService"].full_name
_RUNNER_SERVICE = runner_service_pb2.DESCRIPTOR.services_by_name["RunnerService"].full_name
_OPTIONS = (
    # Beyond these gRPC cancels calls at random; the defaults are 1,000 and 3,000.
    ("grpc.server.max_pending_requests", 100_000),
    ("grpc.server.max_pending_requests_hard_limit", 200_000),
    # Seconds that a call waits for its turn; after 30 gRPC cancels it otherwise. Its deadline is the caller's to set.
    ("grpc.server_max_unrequested_time_in_server", 3600),
    # What is larger than a request may be is refused with a reason, so it must be received first.
    ("grpc.max_receive_message_length", 16 * 1024 * 1024),
)

#: gRPC's own, which knows no difference between its defects and callers that are gone.
_GRPC_LOGGER = logging.getLogger("grpc._cython.cygrpc")


class _ForgetVanishedCallers(logging.Filter):
    """A caller that goes away while it is answered is no error; gRPC logs a traceback for it."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        return type(error).__name__ != "ExecuteBatchError"


_FORGET_VANISHED_CALLERS = _ForgetVanishedCallers()


@dataclass
class Serving:
    """A server that was built: `start`, then `stop` once."""

    server: grpc.aio.Server
    health: health.aio.HealthServicer
    interceptor: Interceptor
    closing: asyncio.Event = field(default_factory=asyncio.Event)

    async def start(self) -> None:
        await self.server.start()

    async def stop(self, grace: float) -> None:
        """Refuses new calls, ends those that follow something, gives the others `grace` seconds; none runs after it."""
        self.closing.set()
        await self.health.enter_graceful_shutdown()
        await self.server.stop(grace)
        # gRPC returns before the calls that it cancelled have cleaned up.
        if self.interceptor.running:
            await asyncio.wait(self.interceptor.running)


async def build_server(parts: Parts, socket: Path, settings: Sequence[DescribedSetting], drain: Drain) -> Serving:
    """Raises MilepostError(SETTING_INVALID) when the socket cannot be made. Its mode is 0600 from the first moment."""
    _GRPC_LOGGER.addFilter(_FORGET_VANISHED_CALLERS)
    interceptor = Interceptor()
    server = grpc.aio.server(interceptors=[interceptor], options=_OPTIONS)
    job_service = JobService(parts)
    add_JobServiceServicer_to_server(job_service, server)
    # Their answers are encoded already.
    listing: grpc.RpcMethodHandler[job_service_pb2.ListJobsRequest, bytes] = grpc.unary_unary_rpc_method_handler(
        job_service.list_encoded,
        request_deserializer=job_service_pb2.ListJobsRequest.FromString,
        response_serializer=None,
    )
    watch: grpc.RpcMethodHandler[job_service_pb2.WatchJobsRequest, bytes] = grpc.unary_stream_rpc_method_handler(
        job_service.watch_encoded,
        request_deserializer=job_service_pb2.WatchJobsRequest.FromString,
        response_serializer=None,
    )
    server.add_registered_method_handlers(_JOB_SERVICE, {"ListJobs": listing, "WatchJobs": watch})
    add_RunnerServiceServicer_to_server(RunnerService(parts.dispatch), server)
    daemon_service = DaemonService(parts, socket, settings, drain)
    add_DaemonServiceServicer_to_server(daemon_service, server)
    health_service = health.aio.HealthServicer()
    for service in (_JOB_SERVICE, _DAEMON_SERVICE, _RUNNER_SERVICE):
        await health_service.set(service, health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(health_service, server)
    names = (_JOB_SERVICE, _DAEMON_SERVICE, _RUNNER_SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME)
    reflection.enable_server_reflection(names, server)
    _bind(server, socket)
    return Serving(server, health_service, interceptor, parts.closing)


def _bind(server: grpc.aio.Server, socket: Path) -> None:
    before = os.umask(0o077)
    try:
        server.add_insecure_port(f"unix:{socket}")
    except RuntimeError as error:
        raise MilepostError(
            Code.SETTING_INVALID,
            f"The socket {socket} cannot be made.",
            "See that its folder is there and yours, or name another one with --socket.",
            {"setting": "socket"},
        ) from error
    finally:
        os.umask(before)
