"""What a worker says about a pipeline: its definition, or the author's mistake with file, line and remedy."""

from pathlib import Path
from typing import Any

import pytest

from milepost.core.definition import Executor, from_json
from tests.sdk.conftest import Open
from tests.support.worker import Frame


def describe(worker: Open, text: str, *, bare: bool = False, **more: object) -> Frame:
    with worker(text, "describe", bare=bare) as process:
        file = str(process.folder / "pipeline.py")
        process.send({"type": "source", "source": {"file": file, **more.pop("source", {})}, **more})  # type: ignore[dict-item]
        frame = process.receive()
        assert process.process.wait(30) == 0
        return frame


PIPELINE = """
    from milepost import Pipeline, Retry

    p = Pipeline("creators", key="handle", on_duplicate="keep")

    @p.step
    def prepare(item, task): ...

    @p.items
    def rows(job):
        yield {}

    @p.step(retry=Retry(attempts=4, base="250ms", cap="2m"), timeout="1.5h", concurrency=16)
    async def fetch(row, task): ...

    @p.step(workers=2, barrier=True, name="score-it")
    def score(row, task): ...

    @p.step(gives="many")
    async def clips(row, task):
        yield {}

    @p.step(takes="all")
    def report(results, task): ...
"""


def test_definition_is_what_core_reads(worker: Open) -> None:
    import json

    definition = from_json(json.dumps(describe(worker, PIPELINE, bare=True)["definition"]))
    assert (definition.name, definition.key, definition.on_duplicate) == ("creators", "handle", "keep")
    assert [(s.name, s.executor, s.line, s.feeds) for s in definition.steps] == [
        ("prepare", Executor.THREAD, 0, None),
        ("items", Executor.THREAD, 0, 1),
        ("fetch", Executor.ASYNC, 1, None),
        ("score-it", Executor.PROCESS, 1, None),
        ("clips", Executor.ASYNC, 1, 2),
        ("report", Executor.THREAD, 0, None),
    ]
    fetch, score = definition.steps[2], definition.steps[3]
    assert (fetch.retry.attempts, fetch.retry.base, fetch.retry.cap, fetch.timeout) == (4, 0.25, 120.0, 5400.0)
    assert (fetch.concurrency, score.workers, score.barrier) == (16, 2, True)
    assert definition.steps[1].enumerates
    assert fetch.line_number == 13


def test_fingerprint_follows_code_and_options(worker: Open) -> None:
    def fingerprint(text: str) -> str:
        return str(describe(worker, text)["definition"]["steps"][0]["fingerprint"])

    first = fingerprint("@p.step\ndef a(item, task): return 1")
    assert first == fingerprint("# moved\n\n@p.step\ndef a(item, task): return 1")
    assert first != fingerprint("@p.step\ndef a(item, task): return 2")
    assert first != fingerprint("@p.step(timeout=5)\ndef a(item, task): return 1")


@pytest.mark.parametrize("inline", [True, False])
def test_inline_items_make_the_items_step(worker: Open, inline: bool) -> None:
    frame = describe(worker, "@p.step\ndef a(item, task): ...", inline=inline)
    assert [step["name"] for step in frame["definition"]["steps"]] == (["items", "a"] if inline else ["a"])


STEP = "\ndef a(item, task): ..."
MISTAKES = [
    ("@p.step(takes='some')" + STEP, 'takes is \'some\'; write "each" or "all"', 3),
    ("@p.step(gives='none')" + STEP, 'write "one" or "many"', 3),
    ("@p.step(timeout='soon')" + STEP, '"250ms", "30s", "2m", "1.5h"', 3),
    ("@p.step(timeout=-1)" + STEP, "is not a duration", 3),
    ("@p.step(concurrency=0)" + STEP, "write a whole number from 1", 3),
    ("@p.step(workers=2)\nasync def a(item, task): ...", "write `def`, or leave workers out", 3),
    ("@p.step(retry=3)" + STEP, "write retry=Retry(attempts=4)", 3),
    ("@p.step(name='a/b')" + STEP, "is no name for a step", 3),
    ("@p.step(name='items')" + STEP, "write name=", 3),
    ("@p.step(key='id')" + STEP, 'only with gives="many"', 3),
    ("@p.step\ndef a(item): ...", "write `def a(item, task)`", 3),
    ("@p.step(takes='all')\ndef a(): ...", "write `def a(results, task)`", 3),
    ("@p.step\ndef a(item, task): yield 1", 'write gives="many"', 3),
    ("@p.step" + STEP + "\n@p.step" + STEP, "Two steps are named 'a'", 5),
    ("@p.items\ndef rows(): ...", "write `def rows(job)`", 3),
    ("p.items(3)", "is not a function", 3),
    ("@p.items\ndef x(job): ...\n@p.items\ndef y(job): ...", "this is the second @items", 5),
    ("@p.step(gives='many')" + STEP + "\n@p.items\ndef y(job): ...", "before the steps that give many", 5),
    ("@p.step(takes='all')\ndef a(results, task): ...", "nothing before it gives items", 3),
    ("\nRetry(attempts=0)", "write a whole number from 1 to 1000", 4),
    ("Retry(factor=0)", "2 doubles the delay", 3),
    ("Retry(base='x')", "is not a duration", 3),
    ("Pipeline('')", "printable text", 3),
    ("Pipeline('x', on_duplicate='drop')", 'write "skip" or "keep" or "fail"', 3),
    ("", "has no step", 2),
    ("@p.items\ndef x(job): ...", "has no step", 2),
    ("def broken(:", "SyntaxError", 3),
    ("import sys\nsys.exit(3)", '__name__ == "__main__"', 4),
    ("1 / 0", "ZeroDivisionError: division by zero", 3),
    ("q = Pipeline('second')", "has several pipelines: p, q. Say which, like", 0),
    ("del p", "has no pipeline. Declare one at its top level", 0),
]


@pytest.mark.parametrize(("text", "message", "line"), MISTAKES, ids=lambda value: str(value)[:40])
def test_mistake_names_place_and_remedy(worker: Open, tmp_path: Path, text: str, message: str, line: int) -> None:
    frame = describe(worker, text)
    assert frame["type"] == "mistake", frame
    assert message in frame["message"]
    assert (frame["file"], frame["line"]) == (str(tmp_path / "pipeline.py"), line)
    assert "Python 3." in frame["interpreter"]


def test_missing_module_names_interpreter_and_remedy(worker: Open, tmp_path: Path, python: str) -> None:
    (tmp_path / "helper.py").write_text("\nimport a_module_that_is_not_there\n")
    frame = describe(worker, "import helper")
    assert "No module named 'a_module_that_is_not_there'" in frame["message"]
    assert "-m pip install" in frame["message"]
    assert "--python" in frame["message"]
    assert (frame["file"], frame["line"]) == (str(tmp_path / "helper.py"), 2)
    assert "import a_module_that_is_not_there" in frame["traceback"]
    assert "milepost/sdk" not in frame["traceback"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"name": "other"}, "has no pipeline in a variable 'other'. Its pipelines are: p."),
        ({"file": "/nowhere/x.py"}, "There is no file /nowhere/x.py."),
        ({"file": "", "module": "pipeline", "name": "nothing"}, "pipeline has no pipeline in a variable 'nothing'."),
    ],
)
def test_wrong_source(worker: Open, source: dict[str, Any], message: str) -> None:
    assert message in describe(worker, "@p.step" + STEP, source=source)["message"]


def test_named_variable_and_module(worker: Open) -> None:
    text = "q = Pipeline('second')\n@q.step" + STEP
    assert describe(worker, text, source={"name": "q"})["definition"]["name"] == "second"
    module = {"file": "", "module": "pipeline", "name": "q"}
    assert describe(worker, text, source=module)["definition"]["name"] == "second"


def test_file_named_like_a_module_in_use(worker: Open, tmp_path: Path) -> None:
    (tmp_path / "json.py").write_text("")
    frame = describe(worker, "@p.step" + STEP, source={"file": str(tmp_path / "json.py")})
    assert "Rename the file" in frame["message"]
