"""A pipeline as the JSON that the daemon keeps, with a fingerprint of each step."""

from __future__ import annotations

import hashlib
import inspect
import json
import textwrap
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from milepost.sdk.pipeline import Pipeline, Step


def definition_of(pipeline: Pipeline, *, inline: bool) -> dict[str, Any]:  # Any: a JSON object
    """Raises Mistake for what only the whole pipeline shows."""
    return {
        "name": pipeline.name,
        "key": pipeline.key,
        "on_duplicate": pipeline.on_duplicate,
        "steps": [_step(step) for step in pipeline.steps(inline=inline)],
    }


def _step(step: Step) -> dict[str, Any]:  # Any: a JSON object
    options = {
        "name": step.name,
        "takes": step.takes,
        "gives": step.gives,
        "executor": step.executor,
        "enumerates": step.enumerates,
        "barrier": step.barrier,
        "concurrency": step.concurrency,
        "workers": step.workers,
        "timeout": step.timeout,
        "retry": {
            "attempts": step.retry.attempts,
            "base": step.retry.base,
            "factor": step.retry.factor,
            "cap": step.retry.cap,
        },
    }
    content = json.dumps([_source(step), options, step.key], sort_keys=True)
    return {**options, "fingerprint": hashlib.sha256(content.encode()).hexdigest(), "line_number": step.line}


def _source(step: Step) -> str:
    try:
        return textwrap.dedent(inspect.getsource(inspect.unwrap(step.function)))
    except (OSError, TypeError):  # made by exec, or an object that can be called: its name is all there is
        code = getattr(step.function, "__code__", None)
        return code.co_code.hex() if code is not None else repr(type(step.function))
