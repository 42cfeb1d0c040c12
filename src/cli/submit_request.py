"""From the arguments of `run` and `submit` to a SubmitJobRequest; reads nothing but names of files."""

import json
import math
import re
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path

from milepost.cli.environment import choose_interpreter, record_environment
from milepost.common.client import new_request_id
from milepost.common.paths import absolute
from milepost.core.errors import Code, MilepostError
from milepost.v1 import job_pb2
from milepost.v1.job_service_pb2 import CommandPipeline, PythonPipeline, SubmitJobRequest

_POLICIES = {
    "resume": job_pb2.RUNNER_LOST_POLICY_RESUME,
    "hold": job_pb2.RUNNER_LOST_POLICY_HOLD,
}
_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


def build_request(arguments: Namespace, environ: Mapping[str, str], folder: Path) -> SubmitJobRequest:
    """`folder`: where the person is. Raises MilepostError(INVALID_ARGUMENT, INTERPRETER_UNUSABLE)."""
    recorded = record_environment(environ)
    request = SubmitJobRequest(
        request_id=new_request_id(),
        parameters_json=parameters_json(arguments.param),
        name=arguments.name or "",
        labels=dict(arguments.label),
        queue=arguments.queue or "",
        priority=arguments.priority,
        runner_lost_policy=_POLICIES[arguments.on_runner_lost],
        allow_duplicate=arguments.allow_duplicate,
        environment=recorded.variables,
        omitted_variables=recorded.omitted,
    )
    if arguments.each is not None:
        _set_command(request, arguments, folder)
    else:
        _set_python(request, arguments, environ, folder)
    return request


def _set_command(request: SubmitJobRequest, arguments: Namespace, folder: Path) -> None:
    if arguments.pipeline is not None:
        raise _wrong("A pipeline and --each do not go together", "Leave one of them out.")
    if arguments.input is not None:
        raise _wrong("--each names the input already", "Leave --input out.")
    if not arguments.command:
        raise _wrong("The command for each line is missing", "Write it after --, as: --each urls.txt -- curl -sfO {}")
    request.command_pipeline.CopyFrom(
        CommandPipeline(
            argv=arguments.command,
            concurrency=arguments.concurrency or 0,
            attempts=arguments.attempts or 0,
            timeout_seconds=arguments.timeout or 0.0,
        )
    )
    request.input_path = str(absolute(folder / arguments.each))
    request.working_directory = str(folder)


def _set_python(request: SubmitJobRequest, arguments: Namespace, environ: Mapping[str, str], folder: Path) -> None:
    if arguments.command is not None:
        raise _wrong("A command after -- needs --each FILE", "As: milepost run --each urls.txt -- curl -sfO {}")
    if arguments.pipeline is None:
        raise _wrong("Which pipeline?", "Name a file (pipeline.py) or a module, or use --each FILE -- COMMAND {}.")
    for option in ("concurrency", "attempts", "timeout"):
        if getattr(arguments, option) is not None:
            raise _wrong(f"--{option} is for --each", "A pipeline in Python says it for each step.")
    pipeline = parse_pipeline(arguments.pipeline, folder)
    request.python_pipeline.CopyFrom(pipeline)
    # A file runs from its own folder, so that its packages and relative paths are found wherever it was submitted from.
    working_directory = Path(pipeline.file).parent if pipeline.file else folder
    request.working_directory = str(working_directory)
    request.python = choose_interpreter(arguments.python, environ, working_directory)
    if arguments.input is not None:
        request.input_path = str(absolute(folder / arguments.input))


def parse_pipeline(text: str, folder: Path) -> PythonPipeline:
    """`path/to/file.py[:name]` or `package.module[:name]`. Raises MilepostError(INVALID_ARGUMENT)."""
    source, _, name = text.rpartition(":")
    if not source or not name.isidentifier():
        source, name = text, ""
    if source.endswith(".py") or "/" in source:
        return PythonPipeline(file=str(absolute(folder / source)), name=name)
    if (folder / source).is_file():
        raise _wrong(f"{source} is a file, but no Python file", f"Name the pipeline first: PIPELINE --input {source}.")
    if not _MODULE.fullmatch(source):
        raise _wrong(
            f"{text!r} names no pipeline", "Write path/to/file.py, path/to/file.py:name or package.module:name."
        )
    return PythonPipeline(module=source, name=name)


def parameters_json(pairs: list[tuple[str, str]]) -> str:
    """A JSON object; a value is JSON if it parses as such, else text. "" when there are none."""
    return json.dumps({key: _value(text) for key, text in pairs}) if pairs else ""


def _value(text: str) -> object:
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return text
    # 1e999 parses as infinity, which JSON cannot carry on.
    return text if isinstance(value, float) and not math.isfinite(value) else value


def _refuse_constant(text: str) -> object:
    raise ValueError(text)


def _wrong(message: str, remedy: str) -> MilepostError:
    return MilepostError(Code.INVALID_ARGUMENT, message if message.endswith("?") else f"{message}.", remedy)
