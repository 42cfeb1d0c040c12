"""What a client gets when a call is refused or fails: code, reason, remedy; and nothing has happened."""

import logging
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest, PreconditionFailure
from grpc_status import rpc_status

from milepost.core.errors import Code
from milepost.core.model import JobState
from milepost.daemon.rpc.interceptor import Interceptor
from milepost.v1 import daemon_service_pb2
from milepost.v1 import job_service_pb2 as pb
from tests.support.in_process import InProcessDaemon


async def test_a_refused_command_says_state_reason_and_remedy(daemon: InProcessDaemon) -> None:
    job = await daemon.insert("j-aaaaaaaa", state=JobState.PAUSED, queue_time=None)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await daemon.client.jobs.PauseJob(pb.PauseJobRequest(job=job.id))
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    status = rpc_status.from_call(caught.value)
    assert status is not None
    failure = PreconditionFailure()
    assert any(detail.Unpack(failure) for detail in status.details)
    assert failure.violations[0].subject == job.id
    error = await daemon.refusal(daemon.client.jobs.PauseJob, pb.PauseJobRequest(job=job.id))
    assert (error.code, error.metadata["state"]) == (Code.NOT_ALLOWED, "PAUSED")
    assert "paused already" in error.message
    assert error.remedy
    assert (await daemon.job(job.id)).revision == job.revision


async def test_an_unknown_job(daemon: InProcessDaemon) -> None:
    for method, request in (
        (daemon.client.jobs.GetJob, pb.GetJobRequest(job="j-zzzzzzzz")),
        (daemon.client.jobs.PauseJob, pb.PauseJobRequest(job="nobody")),
        (daemon.client.jobs.ListItems, pb.ListItemsRequest(job="@last")),
    ):
        assert (await daemon.refusal(method, request)).code is Code.JOB_NOT_FOUND


async def test_a_defect_tells_an_incident_and_nothing_else(
    daemon: InProcessDaemon, caplog: pytest.LogCaptureFixture
) -> None:
    request = daemon_service_pb2.DrainRequest(mode=daemon_service_pb2.DRAIN_MODE_LEAVE)
    with caplog.at_level(logging.ERROR):
        error = await daemon.refusal(daemon.client.daemon.Drain, request)
    assert error.code is Code.INTERNAL
    assert "secret" not in str(error)
    assert error.metadata["incident"] in error.message
    assert error.metadata["incident"] in caplog.text
    assert "the secret of the drain" in caplog.text


async def test_what_grpc_says_of_a_caller_that_is_gone_is_no_defect(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def cannot_send(_request: object, _context: object) -> None:
        raise grpc.aio.InternalError("execute_batch failed")

    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_stream_rpc_method_handler(cannot_send)
    server = grpc.aio.server(interceptors=[Interceptor()])
    server.add_registered_method_handlers("a.Service", {"Call": handler})
    server.add_insecure_port(f"unix:{tmp_path}/socket")
    await server.start()
    async with grpc.aio.insecure_channel(f"unix:{tmp_path}/socket") as channel:
        call: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream("/a.Service/Call")
        with pytest.raises(grpc.aio.AioRpcError):
            await call(b"").read()
    await server.stop(None)
    assert not [record for record in caplog.records if "incident" in record.getMessage()]


async def test_the_same_request_id_has_one_effect_and_fits_one_request(daemon: InProcessDaemon) -> None:
    await daemon.insert("j-aaaaaaaa")
    request = pb.PauseJobRequest(job="j-aaaaaaaa", request_id="r1")
    first = await daemon.client.call(daemon.client.jobs.PauseJob, request)
    again = await daemon.client.call(daemon.client.jobs.PauseJob, request)
    assert (again.message, again.job.revision) == (first.message, first.job.revision)
    other = pb.PauseJobRequest(job="j-aaaaaaaa", request_id="r1", reason="another")
    assert (await daemon.refusal(daemon.client.jobs.PauseJob, other)).code is Code.REQUEST_ID_REUSED


async def test_a_request_beyond_1_mb_is_refused_with_its_size(daemon: InProcessDaemon) -> None:
    request = pb.SubmitJobRequest(parameters_json="x" * 2_000_000)
    error = await daemon.refusal(daemon.client.jobs.SubmitJob, request)
    assert error.code is Code.TOO_LARGE
    assert "2,000," in error.message


def _command(**values: Any) -> pb.SubmitJobRequest:
    return pb.SubmitJobRequest(command_pipeline=pb.CommandPipeline(argv=["true"]), input_path="/etc/hostname", **values)


@pytest.mark.parametrize(
    ("field", "request_"),
    [
        ("pipeline", pb.SubmitJobRequest()),
        ("python_pipeline.file", pb.SubmitJobRequest(python_pipeline=pb.PythonPipeline(file="a.py"))),
        ("python_pipeline.module", pb.SubmitJobRequest(python_pipeline=pb.PythonPipeline(module="a b"))),
        ("python_pipeline.name", pb.SubmitJobRequest(python_pipeline=pb.PythonPipeline(file="/a.py", name="1x"))),
        ("command_pipeline.argv", pb.SubmitJobRequest(command_pipeline=pb.CommandPipeline(argv=[""]))),
        (
            "command_pipeline.attempts",
            pb.SubmitJobRequest(command_pipeline=pb.CommandPipeline(argv=["a"], attempts=-1)),
        ),
        ("input", pb.SubmitJobRequest(command_pipeline=pb.CommandPipeline(argv=["true"]))),
        ("name", _command(name="x" * 65)),
        ("name", _command(name="a\nb")),
        ("labels[team]", _command(labels={"team": "\x1b[31m"})),
        ("priority", _command(priority=1001)),
        ("runner_lost_policy", _command(runner_lost_policy=99)),
        ("parameters_json", _command(parameters_json="{")),
        ("parameters_json", _command(parameters_json="[1]")),
        ("parameters_json", _command(parameters_json='{"a": NaN}')),
        ("python", _command(python="python3")),
        ("working_directory", _command(working_directory="here")),
        ("working_directory", _command(working_directory="/nowhere/at/all")),
        ("environment", _command(environment={"A=B": "c"})),
    ],
)
async def test_each_wrong_field_of_a_submit_is_named(
    daemon: InProcessDaemon, field: str, request_: pb.SubmitJobRequest
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await daemon.client.jobs.SubmitJob(request_)
    status = rpc_status.from_call(caught.value)
    assert status is not None
    bad = BadRequest()
    assert any(detail.Unpack(bad) for detail in status.details)
    assert bad.field_violations[0].field.startswith(field)
    listed = await daemon.client.call(daemon.client.jobs.ListJobs, pb.ListJobsRequest())
    assert not listed.jobs
    assert list((daemon.folder).glob("jobs/*")) == []


async def test_wrong_fields_of_other_requests(daemon: InProcessDaemon) -> None:
    job = (await daemon.insert("j-aaaaaaaa")).id
    jobs = daemon.client.jobs
    for method, request, code in (
        (jobs.GetJob, pb.GetJobRequest(), Code.INVALID_ARGUMENT),
        (jobs.ListJobs, pb.ListJobsRequest(page_size=-1), Code.INVALID_ARGUMENT),
        (jobs.ListJobs, pb.ListJobsRequest(filter="state ="), Code.INVALID_FILTER),
        (jobs.ListItems, pb.ListItemsRequest(job=job, step="nowhere"), Code.UNKNOWN_STEP),
        (jobs.ListItems, pb.ListItemsRequest(job=job, states=[77]), Code.INVALID_ARGUMENT),  # type: ignore[list-item]
        (jobs.RestartJob, pb.RestartJobRequest(job=job, from_step="nowhere"), Code.UNKNOWN_STEP),
        (jobs.RestartJob, pb.RestartJobRequest(job=job, from_step=""), Code.INVALID_ARGUMENT),
        (jobs.CancelJob, pb.CancelJobRequest(job=job, reason="x" * 501), Code.INVALID_ARGUMENT),
        (jobs.RetryTasks, pb.RetryTasksRequest(job=job), Code.NOTHING_FAILED),
        (daemon.client.daemon.Drain, daemon_service_pb2.DrainRequest(), Code.INVALID_ARGUMENT),
    ):
        assert (await daemon.refusal(method, request)).code is code, request
