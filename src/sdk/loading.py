"""A source becomes a Pipeline, or the author's mistake with file, line and remedy."""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import os
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from milepost.sdk.errors import Mistake
from milepost.sdk.pipeline import Pipeline

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import ModuleType, TracebackType

_SDK_FOLDER = str(Path(__file__).parent) + os.sep
_LIBRARY = str(Path(os.__file__).parent) + os.sep
_MAX_TRACEBACK = 8000


def load(source: Mapping[str, str]) -> Pipeline:
    """Imports `{"file": PATH}` or `{"module": DOTTED}` and finds its pipeline (`"name"`: the variable).

    Raises Mistake, or whatever the author's module raises; `mistake_frame` puts either into words.
    """
    module = _import_file(source["file"]) if source.get("file") else _import_module(source["module"])
    return _find(module, source.get("name") or "", source.get("file") or source["module"])


def mistake_frame(error: BaseException, source: Mapping[str, str]) -> dict[str, Any]:  # Any: a JSON object
    """The frame `mistake` for what came out of `load` or `definition_of`."""
    frames = [] if isinstance(error, Mistake) else author_frames(error.__traceback__)
    if isinstance(error, Mistake):
        message, file, line = error.message, error.file, error.line
    elif isinstance(error, SyntaxError) and error.filename:
        message, file, line = f"{type(error).__name__}: {error.msg}.", error.filename, error.lineno or 0
    else:
        message, (file, line) = _import_error(error), _nearest_own(frames, source.get("file") or "")
    return {
        "type": "mistake",
        "message": message,
        "file": file,
        "line": line,
        "traceback": format_error(error, _MAX_TRACEBACK) if not isinstance(error, Mistake) else "",
        "interpreter": interpreter(),
    }


def interpreter() -> str:
    return f"{sys.executable} (Python {sys.version.split()[0]})"


def author_frames(trace: TracebackType | None) -> list[traceback.FrameSummary]:
    """The frames of a traceback from the first one that is the author's: not the SDK's, not the import system's."""
    frames = list(traceback.extract_tb(trace))
    for number, frame in enumerate(frames):
        if not frame.filename.startswith((_SDK_FOLDER, "<frozen")):
            return [frame for frame in frames[number:] if not frame.filename.startswith("<frozen importlib")]
    return []


def format_error(error: BaseException, limit: int) -> str:
    """The traceback's author frames, with those of what caused it; at most `limit` characters, the end is kept."""
    parts: list[str] = []
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen and len(seen) < 10:
        seen.add(id(current))
        frames = author_frames(current.__traceback__)
        text = "Traceback (most recent call last):\n" + "".join(traceback.format_list(frames[-50:])) if frames else ""
        parts.append(text + "".join(traceback.format_exception_only(type(current), current)))
        hidden = current.__suppress_context__
        current = current.__cause__ or (None if hidden else current.__context__)
    return "\nThe above led to:\n\n".join(reversed(parts))[-limit:]


def _import_file(name: str) -> ModuleType:
    path = Path(os.path.realpath(name))
    if not path.is_file():
        raise Mistake(f"There is no file {name}. Name the pipeline's Python file.", name)
    module_name = path.stem.replace(".", "_")
    sys.path.insert(1, str(path.parent))
    if module_name in sys.modules:
        raise Mistake(
            f"The file {path.name} has the name of the module {module_name!r}, which is in use. Rename the file.", name
        )
    loader = importlib.machinery.SourceFileLoader(module_name, str(path))
    spec = importlib.util.spec_from_file_location(module_name, path, loader=loader)
    if spec is None:
        raise Mistake(f"Python cannot import {name}. Name the pipeline's Python file.", name)
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    loader.exec_module(module)
    return module


def _import_module(name: str) -> ModuleType:
    sys.path.insert(1, str(Path.cwd()))
    return importlib.import_module(name)


def _find(module: ModuleType, name: str, source: str) -> Pipeline:
    found = {variable: value for variable, value in vars(module).items() if isinstance(value, Pipeline)}
    file = getattr(module, "__file__", None) or ""
    listed = ", ".join(sorted(found))
    if name:
        if name in found:
            return found[name]
        there = f"Its pipelines are: {listed}." if found else "It has no pipeline at all."
        raise Mistake(f"{source} has no pipeline in a variable {name!r}. {there}", file)
    own = {id(value): value for value in found.values() if value.file == file} or {id(v): v for v in found.values()}
    if len(own) == 1:
        return next(iter(own.values()))
    if own:
        first = min(found)
        raise Mistake(f"{source} has several pipelines: {listed}. Say which, like {source}:{first}.", file)
    raise Mistake(
        f"{source} has no pipeline. Declare one at its top level: "
        '`pipeline = Pipeline("name")`, after `from milepost import Pipeline`.',
        file,
    )


def _import_error(error: BaseException) -> str:
    text = f"{type(error).__name__}: {error}".rstrip(": ")
    if isinstance(error, ModuleNotFoundError) and error.name:
        return (
            f"{text}, in {interpreter()}. Install it there ({sys.executable} -m pip install ...), "
            "or submit with --python and the interpreter that has it."
        )
    if isinstance(error, SystemExit):
        return (
            "The pipeline ended its interpreter while it was imported. "
            'Put what runs under `if __name__ == "__main__":`.'
        )
    return f"The pipeline cannot be imported: {text}."


def _nearest_own(frames: list[traceback.FrameSummary], file: str) -> tuple[str, int]:
    """The innermost frame that is not of an installed package: where the author can change something.

    `file`, without a line, when Python names none: for one that holds null characters.
    """
    for frame in reversed(frames):
        if "site-packages" not in frame.filename and not frame.filename.startswith(_LIBRARY):
            return frame.filename, frame.lineno or 0
    return (frames[0].filename, frames[0].lineno or 0) if frames else (file, 0)
