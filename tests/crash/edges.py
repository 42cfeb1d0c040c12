"""The edges that the source names."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src"

#: Edges that no scenario passes, and why.
NOT_PASSED = {
    "migrate.back_up": "needs a store of an older schema, and there is only one so far",
    "store.absolve": "needs a disk that has failed: a kill there only makes the next start check once more",
    "cgroups.kill_group": "needs a daemon with a control group to itself: tests/processes/test_trees.py",
    "cgroups.remove": "as cgroups.kill_group",
    "paths.write_private": "needs a state folder whose path is too long for a socket",
    "artefacts.remove": "needs an execution that was lost with its folder unfinished: the kills at artefacts.sync",
}

#: Places that are not passed in each play: who would pass them may be ended a moment earlier, and why.
SOMETIMES_PASSED = {
    "worker.answer:after": "the daemon ends the process that describes a pipeline as soon as it has the answer",
}


@cache
def names() -> frozenset[str]:
    return frozenset(name for file in SOURCE.rglob("*.py") for name in edges_in(ast.parse(file.read_text())))


def edges_in(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from (name for decorator in node.decorator_list if (name := edge_name(decorator)))


def edge_name(decorator: ast.expr) -> str | None:
    """`store.commit` for `@edge("store.commit")`."""
    match decorator:
        case ast.Call(func=ast.Name(id="edge"), args=[ast.Constant(value=str(name))]):
            return name
        case _:
            return None
