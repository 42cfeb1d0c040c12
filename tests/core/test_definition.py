"""Lines of items through a pipeline, and reading a definition that comes from outside."""

import json

import pytest

from milepost.core.definition import (
    Gives,
    PipelineDefinition,
    Takes,
    command_pipeline,
    from_json,
    lines_for,
    resolve_timeouts,
    to_json,
)
from milepost.core.errors import Code, MilepostError
from tests.core.factories import BLOG, CREATORS, step


def test_creators_has_the_root_line_and_the_item_line() -> None:
    assert [s.line for s in CREATORS.steps] == [0, 1, 1, 0]
    assert CREATORS.item_line == 1
    assert [CREATORS.next_step(position) for position in range(4)] == [3, 2, None, None]
    assert [CREATORS.continues_in_runner(position) for position in range(4)] == [None, 2, None, None]
    assert CREATORS.line_of_children(0) == CREATORS.steps[1]


def test_regrouped_items_are_a_line_of_their_own() -> None:
    shape = PipelineDefinition(
        "site",
        lines_for(
            [
                step("items", gives=Gives.MANY),
                step("keyword"),
                step("cluster", takes=Takes.ALL, gives=Gives.MANY),
                step("idea"),
                step("images", gives=Gives.MANY),
                step("image"),
                step("publish", takes=Takes.ALL),
                step("notify"),
            ]
        ),
    )
    assert [s.line for s in shape.steps] == [0, 1, 0, 2, 2, 3, 0, 0]
    assert [shape.next_step(position) for position in range(8)] == [2, None, 6, 4, None, None, 7, None]


def test_a_barrier_is_not_passed_in_the_runner() -> None:
    shape = PipelineDefinition("p", lines_for([step("a"), step("b", barrier=True), step("c")]))
    assert [shape.continues_in_runner(position) for position in range(3)] == [None, 2, None]


@pytest.mark.parametrize("definition", [CREATORS, BLOG, command_pipeline(("sh", "-c", "{}"), 4, 0, 2.5)])
def test_json_round_trip(definition: PipelineDefinition) -> None:
    assert from_json(to_json(definition)) == definition


def test_an_unknown_step_names_those_there_are() -> None:
    with pytest.raises(MilepostError) as error:
        CREATORS.step_named("fetsch")
    assert error.value.code is Code.UNKNOWN_STEP
    assert "items, fetch, store, report" in error.value.remedy


@pytest.mark.parametrize(
    "damage",
    [
        {"steps": []},
        {"steps": "fetch"},
        {"name": ""},
        {"name": "a\nb"},
        {"on_duplicate": "explode"},
        {"key": 7},
        {"steps": [{"name": "a", "executor": "gpu"}]},
        {"steps": [{"name": "a", "executor": "async", "timeout": -1}]},
        {"steps": [{"name": "a", "executor": "async", "concurrency": True}]},
        {"steps": [{"name": "a", "executor": "async", "retry": {"attempts": 0}}]},
        {"steps": [{"name": "a", "executor": "async", "retry": {"cap": float("inf")}}]},
        {"steps": [{"name": "a", "executor": "async", "retry": {"factor": 1e9}}]},
        {"steps": [{"name": "a", "executor": "async", "timeout": 1e300}]},
        {"steps": [{"name": "a", "executor": "async"}] * 2},
        {"steps": [{"executor": "async"}]},
        {"steps": [{"name": "../a", "executor": "async"}]},
        {"steps": [{"name": ".a", "executor": "async"}]},
        {"steps": [7]},
    ],
)
def test_a_malformed_definition_is_refused(damage: dict[str, object]) -> None:
    with pytest.raises(MilepostError) as error:
        from_json(json.dumps({**json.loads(to_json(CREATORS)), **damage}))
    assert error.value.code is Code.PIPELINE_INVALID


@pytest.mark.parametrize("text", ["", "[]", "7", "null", '{"name": "x"}', "{"])
def test_what_is_no_definition_is_refused(text: str) -> None:
    with pytest.raises(MilepostError):
        from_json(text)


def test_a_time_out_may_name_a_kind_of_operation() -> None:
    step_json = {"name": "a", "executor": "async", "timeout": "api"}
    text = json.dumps({"name": "p", "steps": [step_json]})
    assert from_json(resolve_timeouts(text, {"api": 300.0})).steps[0].timeout == 300.0
    with pytest.raises(MilepostError) as error:
        resolve_timeouts(text, {"file": 1.0})
    assert error.value.code is Code.PIPELINE_INVALID
