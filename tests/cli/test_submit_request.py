"""What `run` and `submit` make of their arguments (E1, E4)."""

import json
from argparse import Namespace
from pathlib import Path

import pytest

from milepost.cli.environment import choose_interpreter, looks_secret, record_environment
from milepost.cli.main import build_parser
from milepost.cli.parser import split_command
from milepost.cli.submit_request import build_request, parameters_json, parse_pipeline
from milepost.core.errors import Code, MilepostError
from milepost.v1 import job_pb2
from milepost.v1.job_service_pb2 import SubmitJobRequest

HERE = Path("/home/ann")


def parsed(*arguments: str) -> Namespace:
    before, command = split_command(arguments)
    namespace = build_parser().parse_args(before)
    namespace.command = command
    return namespace


def request_for(*arguments: str, environ: dict[str, str] | None = None, folder: Path = HERE) -> SubmitJobRequest:
    return build_request(parsed(*arguments), environ or {}, folder)


def test_a_file_runs_from_its_own_folder() -> None:
    request = request_for("run", "jobs/nightly.py:creators", "--input", "rows.csv")
    assert request.python_pipeline.file == "/home/ann/jobs/nightly.py"
    assert request.python_pipeline.name == "creators"
    assert request.working_directory == "/home/ann/jobs"
    assert request.input_path == "/home/ann/rows.csv"
    assert request.request_id


def test_a_module_runs_from_the_current_folder() -> None:
    request = request_for("submit", "package.module:creators")
    assert request.python_pipeline.module == "package.module"
    assert request.python_pipeline.name == "creators"
    assert request.working_directory == "/home/ann"


@pytest.mark.parametrize(
    ("text", "file", "module", "name"),
    [
        ("a.py", "/home/ann/a.py", "", ""),
        ("/x/a.py:b", "/x/a.py", "", "b"),
        ("../a.py", "/home/a.py", "", ""),
        ("./odd:name.py", "/home/ann/odd:name.py", "", ""),
        ("folder/no_suffix", "/home/ann/folder/no_suffix", "", ""),
        ("package", "", "package", ""),
        ("a.b:c", "", "a.b", "c"),
    ],
)
def test_ways_to_name_a_pipeline(text: str, file: str, module: str, name: str) -> None:
    found = parse_pipeline(text, HERE)
    assert (found.file, found.module, found.name) == (file, module, name)


@pytest.mark.parametrize("text", ["", ":x", "a b", "a..b", "1a", "a:b c"])
def test_what_names_no_pipeline(text: str) -> None:
    with pytest.raises(MilepostError) as caught:
        parse_pipeline(text, HERE)
    assert caught.value.code is Code.INVALID_ARGUMENT


def test_an_input_in_the_place_of_a_pipeline(tmp_path: Path) -> None:
    (tmp_path / "creators.csv").touch()
    with pytest.raises(MilepostError, match=r"PIPELINE --input creators\.csv"):
        parse_pipeline("creators.csv", tmp_path)


def test_a_command_for_each_line() -> None:
    request = request_for(
        "run", "--each", "urls.txt", "-j", "8", "--attempts", "5", "--timeout", "1.5", "--", "sh", "-c", "x", "{}"
    )
    command = request.command_pipeline
    assert list(command.argv) == ["sh", "-c", "x", "{}"]
    assert (command.concurrency, command.attempts, command.timeout_seconds) == (8, 5, 1.5)
    assert request.input_path == "/home/ann/urls.txt"
    assert request.working_directory == "/home/ann"


@pytest.mark.parametrize(
    "arguments",
    [
        ["run"],
        ["run", "--each", "urls.txt"],
        ["run", "--each", "urls.txt", "--"],
        ["run", "a.py", "--", "true"],
        ["run", "a.py", "--each", "urls.txt", "--", "true"],
        ["run", "--each", "urls.txt", "--input", "x", "--", "true"],
        ["run", "a.py", "-j", "3"],
        ["run", "a.py", "--param", "x"],
        ["run", "a.py", "--label", "=x"],
        ["run", "a.py", "--priority", "high"],
        ["run", "a.py", "--inp", "x"],
        ["run", "--each", "f", "--timeout", "0", "--", "true"],
        ["retire", "j-1"],
        ["daemon"],
    ],
)
def test_wrong_command_lines_are_refused_with_a_next_step(arguments: list[str]) -> None:
    with pytest.raises(MilepostError) as caught:
        request_for(*arguments)
    assert caught.value.code is Code.INVALID_ARGUMENT
    assert caught.value.remedy


def test_parameters_are_json_where_they_parse() -> None:
    pairs = [("n", "3"), ("s", "three"), ("o", '{"a": [1]}'), ("t", '"3"'), ("x", "NaN"), ("y", "1e999"), ("e", "a=b")]
    found = json.loads(parameters_json(pairs))
    assert found == {"n": 3, "s": "three", "o": {"a": [1]}, "t": "3", "x": "NaN", "y": "1e999", "e": "a=b"}


def test_the_rest_of_the_flags() -> None:
    request = request_for(
        "submit", "a.py", "--name", "x", "--label", "team=y", "--queue", "slow", "--priority", "-5",
        "--allow-duplicate", "--on-runner-lost", "hold",
    )  # fmt: skip
    assert (request.name, dict(request.labels), request.queue, request.priority) == ("x", {"team": "y"}, "slow", -5)
    assert request.allow_duplicate
    assert request.runner_lost_policy == job_pb2.RUNNER_LOST_POLICY_HOLD


class TestInterpreter:
    @pytest.fixture
    def project(self, tmp_path: Path) -> Path:
        for venv in (tmp_path / "active", tmp_path / "project" / ".venv", tmp_path / "given"):
            (venv / "bin").mkdir(parents=True)
            (venv / "bin" / "python").symlink_to("/bin/sh")
        (tmp_path / "project" / "jobs" / "deep").mkdir(parents=True)
        return tmp_path

    def test_as_given(self, project: Path) -> None:
        given = str(project / "given" / "bin" / "python")
        assert choose_interpreter(given, {"VIRTUAL_ENV": str(project / "active")}, project) == given

    def test_a_virtual_environment_given_by_its_folder(self, project: Path) -> None:
        assert choose_interpreter(str(project / "given"), {}, project) == str(project / "given" / "bin" / "python")

    def test_a_command_on_the_path(self, project: Path) -> None:
        environ = {"PATH": str(project / "given" / "bin")}
        assert choose_interpreter("python", environ, project) == str(project / "given" / "bin" / "python")

    def test_the_active_one(self, project: Path) -> None:
        start = project / "project" / "jobs" / "deep"
        found = choose_interpreter(None, {"VIRTUAL_ENV": str(project / "active")}, start)
        assert found == str(project / "active" / "bin" / "python")

    def test_the_nearest_above_the_pipeline(self, project: Path) -> None:
        found = choose_interpreter(None, {}, project / "project" / "jobs" / "deep")
        assert found == str(project / "project" / ".venv" / "bin" / "python")

    def test_else_the_daemons(self) -> None:
        assert choose_interpreter(None, {"VIRTUAL_ENV": "/nowhere"}, Path("/nowhere/else")) == ""

    def test_one_that_is_not_there_is_refused(self) -> None:
        with pytest.raises(MilepostError) as caught:
            choose_interpreter("/nowhere/python", {"PATH": "/bin"}, HERE)
        assert caught.value.code is Code.INTERPRETER_UNUSABLE


class TestEnvironment:
    @pytest.mark.parametrize(
        "name",
        ["OPENAI_API_KEY", "GITHUB_TOKEN", "DB_PASSWORD", "PGPASSWORD", "AWS_SECRET_ACCESS_KEY", "OPENAI_APIKEY",
         "client_secret", "GOOGLE_APPLICATION_CREDENTIALS", "HTTP_AUTH", "MYSQL_PWD", "ACCESS_TOKENS", "X_AUTHTOKEN"],
    )  # fmt: skip
    def test_secrets_are_left_out_by_name(self, name: str) -> None:
        recorded = record_environment({name: "hush"})
        assert recorded.omitted == (name,)
        assert not recorded.variables

    def test_secrets_are_left_out_by_value(self) -> None:
        assert looks_secret("DATABASE_URL", "postgres://ann:hush@db/x")
        assert not looks_secret("DATABASE_URL", "postgres://db/x")
        assert not looks_secret("HOMEPAGE", "https://example.org/a:b@c")

    @pytest.mark.parametrize(
        "name", ["PATH", "HOME", "LANG", "VIRTUAL_ENV", "TOKENIZERS_PARALLELISM", "PYTHONPATH", "AUTHOR"]
    )
    def test_ordinary_variables_are_recorded(self, name: str) -> None:
        assert record_environment({name: "x"}).variables == {name: "x"}

    @pytest.mark.parametrize(
        "name", ["TERM", "SSH_AUTH_SOCK", "PWD", "_", "MILEPOST_STATE_DIR", "NOTIFY_SOCKET", "DISPLAY"]
    )
    def test_those_of_the_session_are_not(self, name: str) -> None:
        recorded = record_environment({name: "x"})
        assert (recorded.variables, recorded.omitted) == ({}, ())

    def test_bytes_that_are_not_text_stay_behind(self) -> None:
        assert record_environment({"ODD": "\udcff"}).variables == {}
