"""What people read of a job's document, and can type again."""

import json
import shlex

import pytest

from milepost.cli.submit_request import parameters_json
from milepost.common.words import empty_words, submit_words
from milepost.v1 import job_pb2


@pytest.mark.parametrize(
    "value", ["plain", "2024", "true", "null", '"quoted"', "two\nlines", "a b", 7, 1.5, None, [1, "x"]]
)
def test_a_parameter_comes_back_as_it_was_given(value: object) -> None:
    job = job_pb2.Job(
        name="own", pipeline="own", pipeline_source="own.py", parameters_json=json.dumps({"given": value})
    )
    words = shlex.split(submit_words(job))
    assert words[:5] == ["milepost", "submit", "own.py", "--input", "FILE"]
    name, _, text = words[6].partition("=")
    assert json.loads(parameters_json([(name, text)])) == {"given": value}


def test_how_a_job_was_submitted_is_said_again() -> None:
    job = job_pb2.Job(
        name="night", pipeline="own", pipeline_source="own.py", queue="slow", priority=3, labels={"team": "a b"}
    )
    job.input.name = "in put.csv"
    options = "--name night --label 'team=a b' --queue slow --priority 3"
    assert submit_words(job) == f"milepost submit own.py --input 'in put.csv' {options}"
    job.command.extend(["echo", "{}"])
    assert submit_words(job) == f"milepost submit {options} --each 'in put.csv' -- echo {{}}"


def test_a_job_whose_items_no_step_takes_one_by_one_is_not_called_empty() -> None:
    job = job_pb2.Job(state=job_pb2.JOB_STATE_COMPLETED)
    job.steps.add(name="items", takes="each", gives="many")
    job.steps.add(name="report", takes="all")
    assert not empty_words(job)
    job.steps.add(name="work", takes="each")
    assert empty_words(job) == "It had no items: nothing was processed."
