"""Errors on the wire: a gRPC status code and the details of google.rpc, from the same table in both directions.

Every error carries an ErrorInfo (domain `milepost`, reason = the code, metadata with the remedy); refusals by a state
also a PreconditionFailure, wrong arguments also a BadRequest. Together they stay under 4 KB, because they travel in
trailers: beyond 8 KB gRPC may replace the error by one of its own.
"""

from collections.abc import Mapping

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, PreconditionFailure
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from milepost.core.errors import Code, MilepostError

DOMAIN = "milepost"
MAX_STATUS_BYTES = 4096
_MAX_MESSAGE = 800  # characters, each up to 4 bytes in the worst case: cut further when the whole is too large
_MAX_REMEDY = 400
_MAX_METADATA = 200
_MAX_METADATA_KEYS = 16

STATUS: Mapping[Code, grpc.StatusCode] = {
    Code.INVALID_ARGUMENT: grpc.StatusCode.INVALID_ARGUMENT,
    Code.INVALID_FILTER: grpc.StatusCode.INVALID_ARGUMENT,
    Code.INVALID_PAGE_TOKEN: grpc.StatusCode.INVALID_ARGUMENT,
    Code.TOO_LARGE: grpc.StatusCode.INVALID_ARGUMENT,
    Code.UNKNOWN_STEP: grpc.StatusCode.INVALID_ARGUMENT,
    Code.PIPELINE_INVALID: grpc.StatusCode.INVALID_ARGUMENT,
    Code.PIPELINE_NOT_IMPORTABLE: grpc.StatusCode.INVALID_ARGUMENT,
    Code.INPUT_UNREADABLE: grpc.StatusCode.INVALID_ARGUMENT,
    Code.INTERPRETER_UNUSABLE: grpc.StatusCode.INVALID_ARGUMENT,
    Code.REQUEST_ID_REUSED: grpc.StatusCode.INVALID_ARGUMENT,
    Code.JOB_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    Code.JOB_AMBIGUOUS: grpc.StatusCode.NOT_FOUND,
    Code.NOT_ALLOWED: grpc.StatusCode.FAILED_PRECONDITION,
    Code.DUPLICATE_JOB: grpc.StatusCode.ALREADY_EXISTS,
    Code.NOTHING_FAILED: grpc.StatusCode.FAILED_PRECONDITION,
    Code.PAUSE_FILE: grpc.StatusCode.FAILED_PRECONDITION,
    Code.JOB_CHANGING: grpc.StatusCode.FAILED_PRECONDITION,
    Code.RUN_FENCED: grpc.StatusCode.PERMISSION_DENIED,
    Code.PROTOCOL_MISMATCH: grpc.StatusCode.FAILED_PRECONDITION,
    Code.DAEMON_UNREACHABLE: grpc.StatusCode.UNAVAILABLE,
    Code.DAEMON_ALREADY_RUNNING: grpc.StatusCode.FAILED_PRECONDITION,
    Code.DAEMON_STOPPING: grpc.StatusCode.UNAVAILABLE,
    Code.STATE_FOLDER_FOREIGN: grpc.StatusCode.FAILED_PRECONDITION,
    Code.STORE_NEWER: grpc.StatusCode.FAILED_PRECONDITION,
    Code.STORE_UNUSABLE: grpc.StatusCode.INTERNAL,
    Code.STORE_FULL: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Code.SETTING_INVALID: grpc.StatusCode.FAILED_PRECONDITION,
    Code.UNSUPPORTED_PLATFORM: grpc.StatusCode.FAILED_PRECONDITION,
    Code.TIMED_OUT: grpc.StatusCode.DEADLINE_EXCEEDED,
    Code.INTERNAL: grpc.StatusCode.INTERNAL,
}

#: For errors that gRPC itself raises, without our details.
_CODE_OF_BARE_STATUS: Mapping[grpc.StatusCode, Code] = {
    grpc.StatusCode.UNAVAILABLE: Code.DAEMON_UNREACHABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED: Code.TIMED_OUT,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Code.TOO_LARGE,
    grpc.StatusCode.INVALID_ARGUMENT: Code.INVALID_ARGUMENT,
}


def to_status(error: MilepostError) -> Status:
    """The status message of an error, for `grpc_status.rpc_status.to_status`; at most MAX_STATUS_BYTES when encoded."""
    status = _status(error, _MAX_MESSAGE, _MAX_METADATA)
    if status.ByteSize() > MAX_STATUS_BYTES:
        status = _status(error, _MAX_MESSAGE // 4, _MAX_METADATA // 8)
    return status


def _status(error: MilepostError, message_length: int, metadata_length: int) -> Status:
    message = _cut(error.message, message_length)
    remedy = _cut(error.remedy, min(message_length, _MAX_REMEDY))
    info = ErrorInfo(reason=error.code.value, domain=DOMAIN)
    for key, value in list(error.metadata.items())[:_MAX_METADATA_KEYS]:
        info.metadata[_cut(key, 64)] = _cut(value, metadata_length)
    if remedy:
        info.metadata["remedy"] = remedy
    # status.message is the whole text, so that any gRPC client shows the remedy; ours shows the parts.
    info.metadata["message"] = message
    grpc_code = STATUS[error.code]
    status = Status(code=grpc_code.value[0], message=f"{message} {remedy}".strip())
    status.details.add().Pack(info)
    if grpc_code is grpc.StatusCode.FAILED_PRECONDITION:
        violation = PreconditionFailure.Violation(
            type=error.code.value, subject=error.metadata.get("job", "")[:64], description=remedy or message
        )
        status.details.add().Pack(PreconditionFailure(violations=[violation]))
    elif grpc_code is grpc.StatusCode.INVALID_ARGUMENT:
        field = error.metadata.get("field", "")[:64]
        violation_of_field = BadRequest.FieldViolation(field=field, description=remedy or message)
        status.details.add().Pack(BadRequest(field_violations=[violation_of_field]))
    return status


def _cut(text: str, length: int) -> str:
    # Lone surrogates (from bytes that are not UTF-8) cannot be encoded.
    sound = text.encode("utf-8", "replace").decode()
    return sound if len(sound) <= length else f"{sound[: length - 1]}…"


def from_rpc_error(error: grpc.aio.AioRpcError) -> MilepostError:
    """The MilepostError that the other side raised, or one that says what became of the call."""
    info = _error_info(error)
    if info is None:
        return _from_bare(error)
    metadata = dict(info.metadata)
    remedy = metadata.pop("remedy", "")
    message = metadata.pop("message", error.details() or "")
    try:
        code = Code(info.reason)
    except ValueError:  # a newer daemon
        code = Code.INTERNAL
    return MilepostError(code, message, remedy, metadata)


def _error_info(error: grpc.aio.AioRpcError) -> ErrorInfo | None:
    try:
        # It takes any call that has code(), details() and trailing_metadata(); its stubs do not say so.
        status = rpc_status.from_call(error)
    except ValueError:  # the trailers tell another status than the call
        return None
    details: list[AnyMessage] = [] if status is None else list(status.details)
    for detail in details:
        info = ErrorInfo()
        try:
            if detail.Unpack(info) and info.domain == DOMAIN:
                return info
        except DecodeError:
            return None
    return None


def _from_bare(error: grpc.aio.AioRpcError) -> MilepostError:
    status, details = error.code(), error.details() or ""
    code = _CODE_OF_BARE_STATUS.get(status, Code.INTERNAL)
    match code:
        case Code.DAEMON_UNREACHABLE:
            return MilepostError(code, "The daemon does not answer.", "Start it: milepost daemon start.")
        case Code.TIMED_OUT:
            return MilepostError(
                code, "The daemon did not answer in time.", "Try again; `milepost daemon status` tells how it is."
            )
        case _:
            return MilepostError(
                code, f"The daemon answered {status.name}: {details}", "The daemon's log (daemon.log) tells more."
            )
