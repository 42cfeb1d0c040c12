"""Enums of the model and of the API, both ways. Their names agree; that every value has its partner is tested."""

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

from milepost.core.errors import Code, MilepostError
from milepost.core.model import Command, FindingKind, ItemState, JobState, Outcome, RunnerLostPolicy
from milepost.v1 import job_pb2 as pb

JOB_STATES: Mapping[JobState, pb.JobState.ValueType] = {
    state: pb.JobState.Value(f"JOB_STATE_{state}") for state in JobState
}
COMMANDS: Mapping[Command, pb.Command.ValueType] = {
    command: pb.Command.Value(f"COMMAND_{command}") for command in Command
}
OUTCOMES: Mapping[Outcome, pb.Outcome.ValueType] = {
    outcome: pb.Outcome.Value(f"OUTCOME_{outcome}") for outcome in Outcome
}
ITEM_STATES: Mapping[ItemState, pb.ItemState.ValueType] = {
    state: pb.ItemState.Value(f"ITEM_STATE_{state}") for state in ItemState
}
FINDING_KINDS: Mapping[FindingKind, pb.FindingKind.ValueType] = {
    kind: pb.FindingKind.Value(f"FINDING_KIND_{kind}") for kind in FindingKind
}
RUNNER_LOST_POLICIES: Mapping[RunnerLostPolicy, pb.RunnerLostPolicy.ValueType] = {
    policy: pb.RunnerLostPolicy.Value(f"RUNNER_LOST_POLICY_{policy}") for policy in RunnerLostPolicy
}

E = TypeVar("E", bound=StrEnum)


def from_proto(table: Mapping[E, int], value: int, field: str) -> E:
    """The model's value. Raises MilepostError(INVALID_ARGUMENT) for UNSPECIFIED and for numbers that no one knows."""
    for known, number in table.items():
        if number == value:
            return known
    possible = ", ".join(table)
    raise MilepostError(
        Code.INVALID_ARGUMENT,
        f"The field {field} has the value {value}, which is not one of those possible.",
        f"Use one of: {possible}.",
        {"field": field},
    )
