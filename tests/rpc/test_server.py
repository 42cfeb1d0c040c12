"""The server as any other tool meets it: health, reflection, its socket, and its end."""

import asyncio
import stat
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from milepost.core.errors import Code, MilepostError
from milepost.core.model import JobState
from milepost.daemon.rpc import server
from milepost.daemon.rpc.pages import MAX_PAGE
from milepost.v1 import daemon_service_pb2
from milepost.v1 import job_service_pb2 as pb
from tests.support.in_process import InProcessDaemon, in_process_daemon


def _channel(daemon: InProcessDaemon) -> grpc.aio.Channel:
    return grpc.aio.insecure_channel(f"unix:{daemon.folder / 'daemon.sock'}")


@pytest.mark.parametrize("service", ["", "milepost.v1.JobService"])
async def test_health(daemon: InProcessDaemon, service: str) -> None:
    async with _channel(daemon) as channel:
        answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=service))
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_health_of_an_unknown_service_is_not_taken_for_a_defect(daemon: InProcessDaemon) -> None:
    async with _channel(daemon) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service="nobody"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_reflection_tells_services_and_their_files(daemon: InProcessDaemon) -> None:
    asked = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol="milepost.v1.JobService"),
    ]
    async with _channel(daemon) as channel:
        call = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(iter(asked))
        listed, described = [answer async for answer in call]
    names = {service.name for service in listed.list_services_response.service}
    assert {"milepost.v1.JobService", "milepost.v1.DaemonService", "grpc.health.v1.Health"} <= names
    file = FileDescriptorProto.FromString(described.file_descriptor_response.file_descriptor_proto[0])
    assert "SubmitJob" in {method.name for method in file.service[0].method}


async def test_the_socket_is_its_owners_only(daemon: InProcessDaemon) -> None:
    assert stat.S_IMODE((daemon.folder / "daemon.sock").stat().st_mode) == 0o700
    assert stat.S_IMODE(daemon.folder.stat().st_mode) == 0o700


async def test_a_method_that_does_not_exist(daemon: InProcessDaemon) -> None:
    async with _channel(daemon) as channel:
        nothing: Any = channel.unary_unary("/milepost.v1.JobService/Nothing")  # Any: no such method has a type
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await nothing(b"")
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_info(daemon: InProcessDaemon) -> None:
    await daemon.insert("j-aaaaaaa2")
    await daemon.insert("j-aaaaaaa3", state=JobState.PAUSED, queue_time=None)
    info = await daemon.client.call(daemon.client.daemon.GetInfo, daemon_service_pb2.GetInfoRequest())
    assert dict(info.jobs_by_state) == {"QUEUED": 1, "PAUSED": 1}
    assert (info.store_id, info.revision) == (daemon.store.id, daemon.store.revision)
    assert info.schema_version >= 1


async def test_stopping_ends_watches_and_followed_logs_at_once(daemon: InProcessDaemon) -> None:
    job = await daemon.insert("j-aaaaaaa2")
    logs = daemon.folder / "jobs" / job.id / "logs"
    logs.mkdir(parents=True)
    (logs / "run-1.log").write_text("a line\n")
    watch = daemon.watch()
    watched = aiter(watch)
    await anext(watched)
    log = aiter(daemon.client.jobs.TailLog(pb.TailLogRequest(job=job.id, follow=True)))
    assert (await anext(log)).lines == ["a line"]
    daemon.hub.close()
    # Far beyond the test's own limit: nothing may wait for it.
    async with asyncio.timeout(30):
        await daemon.serving.stop(grace=600)
        assert all(not message.jobs for message in [message async for message in watched])
        assert [message async for message in log] == []
    assert await watch.code() is grpc.StatusCode.OK
    with pytest.raises(MilepostError) as caught:
        await daemon.client.call(daemon.client.jobs.GetJob, pb.GetJobRequest(job=job.id))
    assert caught.value.code is Code.DAEMON_UNREACHABLE


async def test_many_calls_at_a_time_are_all_answered(daemon: InProcessDaemon) -> None:
    await daemon.insert("j-aaaaaaa2")
    calls = [daemon.job("j-aaaaaaa2") for _ in range(MAX_PAGE + 500)]
    assert {job.id for job in await asyncio.gather(*calls)} == {"j-aaaaaaa2"}


async def test_how_long_a_call_waits_for_its_turn_is_ours_to_say(monkeypatch: pytest.MonkeyPatch) -> None:
    """Options that gRPC does not know are ignored, and after 30 s calls are cancelled: here after none."""
    shorter = [(name, 0 if "unrequested_time" in name else value) for name, value in server._OPTIONS]
    monkeypatch.setattr(server, "_OPTIONS", shorter)
    async with in_process_daemon() as daemon:
        job = await daemon.insert("j-aaaaaaa2")
        with grpc.insecure_channel(f"unix:{daemon.folder / 'daemon.sock'}") as channel:
            get_job: grpc.UnaryUnaryMultiCallable[pb.GetJobRequest, bytes] = channel.unary_unary(
                "/milepost.v1.JobService/GetJob", pb.GetJobRequest.SerializeToString
            )
            calls = [get_job.future(pb.GetJobRequest(job=job.id)) for _ in range(50)]
            codes = await asyncio.to_thread(lambda: [call.code() for call in calls])
    assert grpc.StatusCode.CANCELLED in codes
