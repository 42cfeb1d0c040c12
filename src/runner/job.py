"""What a run knows of its job: from its arguments and from the daemon's welcome."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from milepost.common.edges import edge
from milepost.common.processes import MARK_VARIABLE
from milepost.core.definition import PipelineDefinition, from_json
from milepost.runner import schedule
from milepost.runner.frames import PROTOCOL, Frame
from milepost.runner.ledger import HeldTask
from milepost.runner.worker import Launch
from milepost.v1 import runner_service_pb2 as pb


@dataclass(frozen=True)
class RunIdentity:
    """What the runner was started with. `mark` is public, `token` is not."""

    job_id: str
    number: int
    mark: str
    token: str
    folder: Path

    @property
    def log_folder(self) -> Path:
        return self.folder / "logs"


@dataclass(frozen=True)
class Job:
    run: RunIdentity
    name: str
    definition: PipelineDefinition
    source_json: str
    parameters_json: str
    python: str
    working_directory: str
    environment: Mapping[str, str]
    sdk_folder: str
    input: Path | None
    input_name: str
    is_inline: bool

    @classmethod
    def from_welcome(cls, run: RunIdentity, welcome: pb.Welcome) -> "Job":
        """Raises MilepostError(PIPELINE_INVALID)."""
        return cls(
            run=run,
            name=welcome.job_name,
            definition=from_json(welcome.definition_json),
            source_json=welcome.pipeline_source_json or "{}",
            parameters_json=welcome.parameters_json or "{}",
            python=welcome.python,
            working_directory=welcome.working_directory or str(run.folder),
            environment={**os.environ, **welcome.environment, MARK_VARIABLE: run.mark},
            sdk_folder=welcome.sdk_folder,
            input=run.folder / welcome.input_file if welcome.input_file else None,
            input_name=welcome.input_name,
            is_inline=welcome.input_is_inline_items,
        )

    def launch(self, worker: int) -> Launch:
        environment = {**self.environment, "MILEPOST_STACKS": str(self.stacks_file(worker))}
        return Launch(self.python, self.sdk_folder, self.working_directory, environment, self._start_frame())

    def stacks_file(self, worker: int) -> Path:
        """Where this worker writes its stacks at SIGUSR1."""
        return self.run.log_folder / f"run-{self.run.number}.worker-{worker}.stacks"

    @edge("job.remove_stacks_file")
    def remove_stacks_file(self, worker: int) -> None:
        self.stacks_file(worker).unlink(missing_ok=True)

    def attempt_folder(self, task: HeldTask, attempt: int) -> str:
        """Relative to the job's folder; no key and no name that could be a path is part of it."""
        return f"items/{task.ref.item}/{self.step_folders[task.ref.step]}/{self.run.number}-{attempt}"

    @cached_property
    def step_folders(self) -> list[str]:
        return [step.name if step.name.isidentifier() else str(step.position) for step in self.definition.steps]

    def command_environment(self, task: HeldTask) -> dict[str, str]:
        step = self.definition.steps[task.ref.step]
        return {
            **self.environment,
            "MILEPOST_JOB": self.run.job_id,
            "MILEPOST_ITEM": task.key.replace("\0", "?"),
            "MILEPOST_ATTEMPT": str(task.attempts_used + 1),
            "MILEPOST_IDEMPOTENCY_KEY": f"{self.run.job_id}/{step.name}/{task.ref.item}",
        }

    def _start_frame(self) -> Frame:
        return {
            "type": "start",
            "protocol": PROTOCOL,
            "source": json.loads(self.source_json),
            "job": {
                "id": self.run.job_id,
                "name": self.name,
                "folder": str(self.run.folder),
                "input": str(self.input) if self.input else None,
                "input_name": self.input_name,
                "inline": self.is_inline,
                "parameters": json.loads(self.parameters_json),
            },
            "run": self.run.number,
            "threads": schedule.threads(self.definition.steps),
        }
