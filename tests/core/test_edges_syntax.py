"""What a crash could leave half done is done in functions with an edge, so that tests/crash can kill there."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.edges import SOURCE, edge_name

#: Clients keep nothing that the promise is about; generated code and the rules do none of this.
ROOMS = ("common", "daemon", "runner", "sdk")

#: Calls by their last name. `replace` and `write` are looked at more closely: texts have them, too.
STARTS = {"Popen", "create_subprocess_exec", "execve", "posix_spawn"}
SIGNALS = {"kill", "killpg", "pidfd_send_signal"}
REAPS = {"waitpid", "waitid"}
FILES = {"rename", "unlink", "rmdir", "rmtree", "fsync", "fdatasync"}
SENDS = {"sendall", "writelines", "drain"}
MESSAGES = {"AttachRequest", "AttachResponse"}

#: Functions that do it without an edge, and why.
EXCEPTIONS = {
    "common/edges.py:_pass": "the edge itself",
    "sdk/edges.py:_pass": "the edge itself",
    "common/daemon_start.py:_spawn": "runs in a client, which starts a daemon and owns nothing",
    "daemon/main.py:_leave_the_job_that_started_us": "replaces a daemon that has not begun",
    "runner/attempts.py:_end_in_worker": "asks for a worker to be killed, which `processes.send_signal` does",
    "runner/workers.py:kill": "as above",
    "runner/run.py:_write_down": "a file with words: without it, or with half of it, the job says less",
    "runner/stream.py:_next_request": "makes messages; `link.write` sends them",
    "runner/stream.py:_write": "hands messages to `link.write`",
    "sdk/output.py:_emit": "what a task prints is no record",
    "sdk/__main__.py:<module>": "tells a Python that is too old, before anything has begun",
}


def sites(tree: ast.AST, inside: str = "<module>", has_edge: bool = False) -> Iterator[tuple[str, int, str]]:
    """(innermost function, line, call) of all that is outside an edge."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from sites(node, node.name, any(edge_name(decorator) for decorator in node.decorator_list))
            continue
        if not has_edge and (name := watched(node)):
            yield inside, node.lineno, name  # type: ignore[attr-defined] # calls and constants have a line
        yield from sites(node, inside, has_edge)


def watched(node: ast.AST) -> str:
    match node:
        case ast.Constant(value="COMMIT"):
            return "COMMIT"
        case ast.Call(func=ast.Attribute(value=ast.Attribute(attr="_store" | "store"), attr="write")):
            return ""  # a function for the next commit
        case ast.Call(func=ast.Attribute(attr=name), args=arguments, keywords=named):
            if name in STARTS | SIGNALS | REAPS | FILES | SENDS | MESSAGES:
                return name
            # Path.replace takes one argument, str.replace two, and dataclasses' is a plain name.
            is_a_move = name == "replace" and len(arguments) == 1 and not named
            return name if is_a_move or name == "write" else ""
        case _:
            return ""


def unmarked() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for room in ROOMS:
        for file in sorted((SOURCE / room).rglob("*.py")):
            for function, line, name in sites(ast.parse(file.read_text())):
                place = f"{file.relative_to(SOURCE)}:{function}"
                found.setdefault(place, []).append(f"line {line}: {name}")
    return found


def test_what_a_crash_could_cut_off_has_an_edge() -> None:
    assert {place: calls for place, calls in unmarked().items() if place not in EXCEPTIONS} == {}


def test_every_exception_is_one() -> None:
    assert EXCEPTIONS.keys() <= unmarked().keys()


@pytest.mark.parametrize(
    "line",
    [
        'connection.execute("COMMIT")',
        "subprocess.Popen([])",
        "os.kill(1, 9)",
        "partial.replace(path)",
        "path.unlink()",
        "shutil.rmtree(folder)",
        "writer.write(b'')",
        "await send(pb.AttachResponse(ack=ack))",
    ],
)
def test_it_sees(line: str) -> None:
    code = f"async def f():\n    {line}\n@edge('x')\nasync def g():\n    {line}\n"
    assert [(function, number) for function, number, _ in sites(ast.parse(code))] == [("f", 2)]


def test_edges_have_names_of_their_own() -> None:
    named: dict[str, Path] = {}
    for file in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and (name := edge_name(node)):
                assert name not in named, f"{name} is in {named[name]} and in {file}"
                named[name] = file
