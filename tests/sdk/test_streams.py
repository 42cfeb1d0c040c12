"""What goes through a worker without being whole in memory: items, children, the results of all."""

import itertools
import json
from pathlib import Path

import pytest

from tests.sdk.conftest import Open
from tests.support.worker import Frame, Worker, row

ITEMS = {
    "generator": "@p.items\ndef rows(job):\n    for n in range(3200): yield {'n': n}",
    "async generator": "@p.items\nasync def rows(job):\n    for n in range(3200): yield {'n': n}",
    "list": "@p.items\ndef rows(job): return [{'n': n} for n in range(3200)]",
    "async list": "@p.items\nasync def rows(job): return [{'n': n} for n in range(3200)]",
}
STEP = "\n@p.step\ndef a(item, task): ..."


def silent(process: Worker) -> bool:
    """True when the worker has nothing to say but its answer to a ping, sent through the same queue."""
    process.send({"type": "ping", "n": 0})
    return process.receive() == {"type": "pong", "n": 0}


@pytest.mark.parametrize("text", ITEMS.values(), ids=ITEMS)
def test_items_come_in_chunks_at_most_four_ahead(worker: Open, text: str) -> None:
    with worker(text + STEP) as process:
        process.start()
        process.tasks(row(1, "items", key=""))
        chunks: list[Frame] = [process.receive("items") for _ in range(4)]
        assert silent(process)
        while sum(len(chunk["children"]) for chunk in chunks) < 3200:
            acknowledged = chunks[len(chunks) - 4]
            following = acknowledged["first"] + len(acknowledged["children"])
            process.send({"type": "items_ack", "id": 1, "next": following})
            chunks.append(process.receive("items"))
        assert process.result(1)[1] == "SUCCEEDED"
        assert max(len(chunk["children"]) for chunk in chunks) == 500
        assert len({chunk["enumeration"] for chunk in chunks}) == 1
        assert chunks[0]["first"] == 0
        for before, after in itertools.pairwise(chunks):
            assert after["first"] == before["first"] + len(before["children"])
        children = [tuple(child) for chunk in chunks for child in chunk["children"]]
        assert children == [(str(n + 1), f'{{"n":{n}}}') for n in range(3200)]


def test_chunks_are_bounded_in_bytes(worker: Open) -> None:
    text = "@p.items\ndef rows(job):\n    for n in range(30): yield {'text': 'ö' * 30_000}"
    with worker(text + STEP) as process:
        process.start()
        process.tasks(row(1, "items", key=""))
        taken = 0
        while taken < 30:
            frame = process.receive("items")
            assert sum(len(payload.encode()) for _, payload in frame["children"]) <= 512 * 1024
            taken += len(frame["children"])
            process.send({"type": "items_ack", "id": 1, "next": taken})


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ("{'id': 'a'}, 'text'", "Item 2 is a str, not a dict"),
        ("{'id': 'a'}, {'name': 'b'}", "Item 2 has no field 'id' to be known by (its fields: name)"),
        ("{'id': 'a'}, {'id': 1.5}", "Item 2 has '1.5' in its key field 'id'"),
        ("{'id': 'a', 'x': {1, 2}}", "Item 1 holds a set at ['x']"),
    ],
)
def test_unusable_item_is_named(worker: Open, item: str, message: str) -> None:
    text = f"p = Pipeline('k', key='id')\n@p.items\ndef rows(job): return [{item}]" + STEP
    with worker(text) as process:
        process.start()
        process.tasks(row(1, "items", key=""))
        frame = process.receive()
        while frame["type"] == "items":
            assert frame["children"] == [["a", '{"id":"a"}']]
            frame = process.receive()
        failure = frame["results"][0][7]
        assert message in failure["message"]
        assert failure["error_class"] == "invalid_result", "there is no input to be mended"


def test_items_without_a_key_are_known_by_their_number(worker: Open) -> None:
    text = "p = Pipeline('k', key='id')\n@p.items\ndef rows(job): yield from [{'id': 'a'}, {'id': None}, {'id': ''}]"
    with worker(text + STEP) as process:
        process.start()
        process.tasks(row(1, "items", key=""))
        keys: list[str] = []
        while len(keys) < 3:
            keys += [key for key, _ in process.receive("items")["children"]]
        assert keys == ["a", "#2", "#3"]


def test_inline_items(worker: Open, tmp_path: Path) -> None:
    (tmp_path / "input").write_text('{"id": "anna"}\n\n{"id": 7}\nnot json\n')
    with worker("p = Pipeline('k', key='id')" + STEP) as process:
        process.start(input=str(tmp_path / "input"), inline=True)
        process.tasks(row(1, "items", key=""))
        frame = process.receive("items")
        children = list(frame["children"])
        ended = process.receive()
        while ended["type"] == "items":
            children += ended["children"]
            ended = process.receive()
        assert children[0] == ["anna", '{"id":"anna"}']
        assert "Line 4 of the items is not JSON" in ended["results"][0][7]["message"]


def test_open_input_is_fit_for_csv(worker: Open, tmp_path: Path) -> None:
    text = """
        import csv
        @p.items
        def rows(job): yield from csv.DictReader(job.open_input())
        @p.step
        def a(item, task): ...
    """
    (tmp_path / "input").write_bytes('\ufeffname,text\r\nÖ,"a\nb"\r\n'.encode())
    with worker(text) as process:
        process.start(input=str(tmp_path / "input"), input_name="creators.csv")
        process.tasks(row(1, "items", key=""))
        assert json.loads(process.receive("items")["children"][0][1]) == {"name": "Ö", "text": "a\nb"}
        assert process.result(1)[1] == "SUCCEEDED"
        (tmp_path / "input").write_bytes(b"name\nanna\nJos\xe9\n")
        failure = process.run("items", number=2)[7]
        assert failure["error_class"] == "corrupt_source"
        assert failure["message"] == "The input creators.csv is not UTF-8: byte 0xe9 in line 3."
        assert "iconv" in failure["remedy"]
        (tmp_path / "input").unlink()
        assert "copy of its input creators.csv is gone" in process.run("items", number=3)[7]["message"]


def test_children(worker: Open) -> None:
    text = """
        @p.step(gives="many")
        def returned(item, task): return [{"n": 1}, {"n": 2}]
        @p.step(gives="many", key="id")
        def yielded(item, task): yield {"id": "x"}
        @p.step(gives="many")
        async def on_loop(item, task): yield {"n": 1}
        @p.step(gives="many")
        def none(item, task): return skipped("empty")
        @p.step(gives="many")
        def labels(item, task): return labelled("found", [{"n": 1}])
        @p.step(gives="many")
        def wrong(item, task): return 3
        @p.step(gives="many")
        def flood(item, task):
            for n in range(10_001): yield {}
    """
    with worker(text) as process:
        process.start()
        results = {
            step: process.run(step, number=number, key="ep")
            for number, step in enumerate(("returned", "yielded", "on_loop", "none", "labels", "wrong", "flood"), 1)
        }
    assert results["returned"][8] == [["ep/1", '{"n":1}'], ["ep/2", '{"n":2}']]
    assert results["yielded"][8] == [["x", '{"id":"x"}']]
    assert results["on_loop"][8] == [["ep/1", '{"n":1}']]
    assert (results["none"][1:4], len(results["none"])) == (["SKIPPED", "empty", ""], 8)
    assert (results["labels"][1:3], results["labels"][8]) == (["SUCCEEDED", "found"], [["ep/1", '{"n":1}']])
    assert "returned a int" in results["wrong"][7]["message"]
    assert results["flood"][7]["error_class"] == "result_too_large"


GATHER = """
    @p.items
    def rows(job): ...
    @p.step
    def fetch(item, task): ...

    def shown(row):
        return [row.item_id, row.key, row.item, row.outcome, row.label, row.result("fetch"), row.error_class,
                row.error_message, row.step, row.result("other"), dict(row.results)]

    @p.step(takes="all")
    def in_thread(results, task): return [shown(row) for row in results]
    @p.step(takes="all")
    async def on_loop(results, task): return [shown(row) async for row in results]
    @p.step(takes="all")
    async def mixed_up(results, task): return [row for row in results]
"""


@pytest.mark.parametrize("step", ["in_thread", "on_loop"])
def test_results_of_all_come_page_by_page(worker: Open, step: str) -> None:
    rows = [
        [1, "a", '{"n":1}', "SUCCEEDED", "added", {"fetch": "5"}, "", "", "fetch"],
        [2, "b", '{"n":2}', "FAILED", "", {}, "network", "No route.", "fetch"],
    ]
    with worker(GATHER) as process:
        process.start()
        process.tasks(row(1, step, key=""))
        for cursor, page, following in ((0, rows[:1], 1), (1, rows[1:], 0)):
            question = process.receive("gather")
            assert (question["id"], question["cursor"]) == (1, cursor)
            assert silent(process)  # the next page is asked for only when this one is used up
            process.send(
                {"type": "answer", "request": question["request"], "rows": page, "next": following, "error": ""}
            )
        assert json.loads(process.result(1)[3]) == [
            [1, "a", {"n": 1}, "SUCCEEDED", "added", 5, "", "", "fetch", None, {"fetch": 5}],
            [2, "b", {"n": 2}, "FAILED", "", None, "network", "No route.", "fetch", None, {}],
        ]


def test_results_that_cannot_be_read(worker: Open) -> None:
    with worker(GATHER) as process:
        process.start()
        process.tasks(row(1, "in_thread"))
        number = process.receive("gather")["request"]
        process.send({"type": "answer", "request": number, "rows": [], "next": None, "error": "The store is busy."})
        failure = process.result(1)[7]
        assert failure["error_class"] == "transient"
        assert "The store is busy." in failure["message"]
        assert "async for" in process.run("mixed_up", number=2)[7]["message"]
