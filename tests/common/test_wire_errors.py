"""Errors keep their code, text and remedy over the wire, whatever they carry."""

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, PreconditionFailure
from grpc_status import rpc_status
from hypothesis import given
from hypothesis import strategies as st

from milepost.common.wire.errors import MAX_STATUS_BYTES, STATUS, from_rpc_error, to_status
from milepost.core.errors import Code, MilepostError


def over_the_wire(error: MilepostError) -> MilepostError:
    """As grpc does it: the status in the trailers."""
    status = rpc_status.to_status(to_status(error))
    return from_rpc_error(
        grpc.aio.AioRpcError(
            status.code, grpc.aio.Metadata(), grpc.aio.Metadata(*status.trailing_metadata), status.details
        )
    )


@pytest.mark.parametrize("code", Code)
def test_every_code_comes_back_with_its_words(code: Code) -> None:
    back = over_the_wire(MilepostError(code, "It broke.", "Mend it.", {"job": "j-1"}))
    assert (back.code, back.message, back.remedy, back.metadata) == (code, "It broke.", "Mend it.", {"job": "j-1"})


def test_every_code_has_one_status() -> None:
    assert set(STATUS) == set(Code)


@given(
    st.sampled_from(Code),
    st.text(max_size=5000),
    st.text(max_size=5000),
    st.dictionaries(st.text(max_size=200), st.text(max_size=2000), max_size=30),
)
def test_details_stay_small_and_readable(code: Code, message: str, remedy: str, metadata: dict[str, str]) -> None:
    error = MilepostError(code, message, remedy, metadata)
    assert to_status(error).ByteSize() <= MAX_STATUS_BYTES
    assert over_the_wire(error).code is code


def test_text_that_is_not_unicode_is_told_all_the_same() -> None:
    assert over_the_wire(MilepostError(Code.INPUT_UNREADABLE, "No \udcff.")).message == "No ?."


def details_of(error: MilepostError) -> list[str]:
    return [detail.TypeName() for detail in to_status(error).details]


def test_details_of_a_refusal_by_state() -> None:
    assert details_of(MilepostError(Code.NOT_ALLOWED, "It is PAUSED.", "Resume it.")) == [
        ErrorInfo.DESCRIPTOR.full_name,
        PreconditionFailure.DESCRIPTOR.full_name,
    ]


def test_details_of_a_wrong_argument() -> None:
    status = to_status(MilepostError(Code.INVALID_ARGUMENT, "No such queue.", "Use default.", {"field": "queue"}))
    request = BadRequest()
    assert status.details[1].Unpack(request)
    assert request.field_violations[0].field == "queue"


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (grpc.StatusCode.UNAVAILABLE, Code.DAEMON_UNREACHABLE),
        (grpc.StatusCode.DEADLINE_EXCEEDED, Code.TIMED_OUT),
        (grpc.StatusCode.UNKNOWN, Code.INTERNAL),
    ],
)
def test_errors_of_grpc_itself(status: grpc.StatusCode, code: Code) -> None:
    error = from_rpc_error(grpc.aio.AioRpcError(status, grpc.aio.Metadata(), grpc.aio.Metadata(), "boom"))
    assert error.code is code
    assert error.remedy


def test_trailers_that_contradict_the_status_are_not_believed() -> None:
    trailers = rpc_status.to_status(to_status(MilepostError(Code.JOB_NOT_FOUND, "No job."))).trailing_metadata
    error = grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata(*trailers), "gone")
    assert from_rpc_error(error).code is Code.DAEMON_UNREACHABLE
