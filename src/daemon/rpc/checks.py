"""What a request may contain. Each check returns the value, or raises a MilepostError that names the field."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from google.protobuf.message import Message

from milepost.common.wire.enums import ITEM_STATES, RUNNER_LOST_POLICIES, from_proto
from milepost.common.wire.times import unix_seconds
from milepost.core.definition import PipelineDefinition
from milepost.core.errors import Code, MilepostError
from milepost.core.model import RunnerLostPolicy
from milepost.core.queueing import DEFAULT_QUEUE
from milepost.daemon.rpc.caller import Caller
from milepost.daemon.store.items import Restriction
from milepost.daemon.submit import CommandLine, Submission
from milepost.v1 import job_pb2
from milepost.v1 import job_service_pb2 as pb

MAX_NAME = 64
MAX_REASON = 500
MAX_KEY = 256
MAX_PATH = 4096
MAX_LABELS = 64
MAX_LABEL_VALUE = 256
MAX_PRIORITY = 1000
MAX_ARGUMENTS = 1000
MAX_VARIABLES = 2000
MAX_CONCURRENCY = 10_000
MAX_ATTEMPTS = 1000
MAX_TIMEOUT = 30 * 86_400.0
MAX_ITEM_KEYS = 1000
MAX_ITEM_KEY = 4096
MAX_INLINE_ITEMS = 10_000
MAX_SKIP = 2**31 - 1
MAX_COLUMNS = 400
DEFAULT_COLUMNS = 100


def invalid(field: str, problem: str, remedy: str) -> NoReturn:
    raise MilepostError(Code.INVALID_ARGUMENT, f"The field {field} {problem}.", remedy, {"field": field})


def text(field: str, value: str, longest: int) -> str:
    """Printable, so that it can be shown anywhere; may be empty."""
    if len(value) > longest:
        invalid(field, f"has {len(value)} characters; {longest} are possible", "Shorten it.")
    if not value.isprintable():
        invalid(field, "has control characters", "Leave them out.")
    return value


def required(field: str, value: str, longest: int) -> str:
    if not value:
        invalid(field, "is empty", "Set it.")
    return text(field, value, longest)


def job_reference(value: str) -> str:
    if not value:
        invalid("job", "is empty", 'Give an id, a prefix of one, a unique name, or "@last".')
    return text("job", value, MAX_KEY)


def reason(value: str) -> str:
    return text("reason", value, MAX_REASON)


def whole(field: str, value: int, low: int, high: int) -> int:
    if not low <= value <= high:
        invalid(field, f"is {value}; {low} to {high} is possible", "Correct it.")
    return value


def absolute_path(field: str, value: str) -> str:
    """May be empty."""
    if value and (not value.startswith("/") or "\0" in value or len(value) > MAX_PATH):
        invalid(field, f"is not an absolute path: {value[:100]!r}", "Give a path that begins with /.")
    return value


def json_object(field: str, value: str) -> dict[str, Any]:  # Any: a JSON object
    try:
        document = json.loads(value, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        invalid(field, f"is not JSON ({error})", 'Give a JSON object, such as {"key": "value"}.')
    if not isinstance(document, dict):
        invalid(field, "is JSON, but not an object", 'Give a JSON object, such as {"key": "value"}.')
    return document


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not possible in JSON")


def payload_hash(request: Message) -> str:
    """Of all but the request's id, to tell a repetition from another request under the same id."""
    content = type(request)()
    content.CopyFrom(request)
    content.ClearField("request_id")
    data = f"{request.DESCRIPTOR.full_name}\n".encode() + content.SerializeToString(deterministic=True)
    return hashlib.sha256(data).hexdigest()


def request_id(value: str) -> str:
    return text("request_id", value, MAX_KEY)


def item_keys(keys: Sequence[str]) -> tuple[str, ...]:
    whole("item_keys (their number)", len(keys), 0, MAX_ITEM_KEYS)
    for key in keys:
        if len(key) > MAX_ITEM_KEY:
            invalid("item_keys", f"has a key of {len(key)} characters; {MAX_ITEM_KEY} are possible", "Shorten it.")
    return tuple(keys)


def item_restriction(request: pb.ListItemsRequest, definition: PipelineDefinition) -> Restriction:
    """Raises MilepostError(UNKNOWN_STEP), too."""
    return Restriction(
        states=tuple(sorted({from_proto(ITEM_STATES, state, "states") for state in request.states})),
        step=definition.step_named(request.step).position if request.step else None,
        label=text("label", request.label, MAX_KEY),
        keys=item_keys(request.item_keys),
        error_class=text("error_class", request.error_class, MAX_NAME),
    )


def submission(request: pb.SubmitJobRequest, caller: Caller) -> Submission:
    """The whole request of a submit, each field by itself; files are looked at later."""
    given_input = request.WhichOneof("input")
    parameters = request.parameters_json or "{}"
    json_object("parameters_json", parameters)
    return Submission(
        source=_source(request),
        by=caller.by,
        client=caller.client,
        request_id=request_id(request.request_id),
        payload_hash=payload_hash(request),
        input_path=_input_path(request.input_path) if given_input == "input_path" else None,
        items_json=_items(request.inline_items) if given_input == "inline_items" else None,
        parameters_json=parameters,
        name=text("name", request.name, MAX_NAME),
        labels=_labels(request.labels),
        queue=text("queue", request.queue, MAX_NAME) or DEFAULT_QUEUE,
        priority=whole("priority", request.priority, -MAX_PRIORITY, MAX_PRIORITY),
        start_time=unix_seconds(request.start_time) if request.HasField("start_time") else None,
        runner_lost_policy=_policy(request.runner_lost_policy),
        uniqueness_key=text("uniqueness_key", request.uniqueness_key, MAX_KEY),
        allow_duplicate=request.allow_duplicate,
        python=absolute_path("python", request.python),
        working_directory=absolute_path("working_directory", request.working_directory),
        environment=_environment(request.environment),
        omitted_variables=tuple(text("omitted_variables", name, MAX_KEY) for name in request.omitted_variables),
    )


def _source(request: pb.SubmitJobRequest) -> dict[str, str] | CommandLine:
    match request.WhichOneof("pipeline"):
        case "python_pipeline":
            return _python_source(request.python_pipeline)
        case "command_pipeline":
            return _command_line(request.command_pipeline)
        case _:
            invalid("pipeline", "is missing", "Set python_pipeline or command_pipeline.")


def _python_source(pipeline: pb.PythonPipeline) -> dict[str, str]:
    name = text("python_pipeline.name", pipeline.name, MAX_KEY)
    if name and not name.isidentifier():
        invalid("python_pipeline.name", f"is not the name of a variable: {name!r}", "Name the pipeline's variable.")
    named = {"name": name} if name else {}
    if pipeline.WhichOneof("source") == "file":
        required("python_pipeline.file", pipeline.file, MAX_PATH)
        return {"file": absolute_path("python_pipeline.file", pipeline.file), **named}
    module = pipeline.module
    if not module or not all(part.isidentifier() for part in module.split(".")):
        invalid(
            "python_pipeline.module", f"is not a dotted module name: {module[:100]!r}", "Name it as package.module."
        )
    return {"module": module, **named}


def _command_line(pipeline: pb.CommandPipeline) -> CommandLine:
    field = "command_pipeline"
    whole(f"{field}.argv (number of arguments)", len(pipeline.argv), 1, MAX_ARGUMENTS)
    if any("\0" in argument for argument in pipeline.argv):
        invalid(f"{field}.argv", "has a null character", "Leave it out.")
    if not pipeline.argv[0]:
        invalid(f"{field}.argv", "begins with an empty command", "Name the command.")
    if not 0 <= pipeline.timeout_seconds <= MAX_TIMEOUT:
        invalid(f"{field}.timeout_seconds", f"is {pipeline.timeout_seconds}", f"Give 0 to {MAX_TIMEOUT:g} seconds.")
    return CommandLine(
        argv=tuple(pipeline.argv),
        concurrency=whole(f"{field}.concurrency", pipeline.concurrency, 0, MAX_CONCURRENCY),
        attempts=whole(f"{field}.attempts", pipeline.attempts, 0, MAX_ATTEMPTS),
        timeout=pipeline.timeout_seconds,
    )


def _input_path(value: str) -> Path:
    required("input_path", value, MAX_PATH)
    return Path(absolute_path("input_path", value))


def _items(items: pb.InlineItems) -> tuple[str, ...]:
    """One line each, whatever line ends stood between their parts."""
    whole("inline_items (number of items)", len(items.items_json), 0, MAX_INLINE_ITEMS)
    return tuple(
        json.dumps(json_object(f"inline_items.items_json[{number}]", item), ensure_ascii=False)
        for number, item in enumerate(items.items_json)
    )


def _labels(labels: Mapping[str, str]) -> dict[str, str]:
    whole("labels (their number)", len(labels), 0, MAX_LABELS)
    for name, value in labels.items():
        required("labels (a name)", name, MAX_NAME)
        text(f"labels[{name}]", value, MAX_LABEL_VALUE)
    return dict(labels)


def _environment(environment: Mapping[str, str]) -> dict[str, str]:
    whole("environment (number of variables)", len(environment), 0, MAX_VARIABLES)
    for name, value in environment.items():
        if not name or "=" in name or "\0" in name + value:
            invalid("environment", f"has a variable that cannot be set: {name[:100]!r}", "Leave it out.")
    return dict(environment)


def _policy(value: "job_pb2.RunnerLostPolicy.ValueType") -> RunnerLostPolicy:
    if value == job_pb2.RUNNER_LOST_POLICY_UNSPECIFIED:
        return RunnerLostPolicy.RESUME
    return from_proto(RUNNER_LOST_POLICIES, value, "runner_lost_policy")
