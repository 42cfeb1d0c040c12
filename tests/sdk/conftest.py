import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.sdk_folder import make_sdk_folder
from tests.support.worker import Worker, interpreters

Open = Callable[..., Worker]


@pytest.fixture(scope="session")
def sdk_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sdk_folder(tmp_path_factory.mktemp("sdk") / "copy")


@pytest.fixture(params=interpreters(), ids=lambda path: "/".join(Path(path).parts[-3:]))
def python(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def worker(tmp_path: Path, sdk_folder: Path, python: str) -> Open:
    """Makes a worker of a pipeline's text; the names of the SDK are imported for it."""

    def make(text: str, command: str = "work", *, bare: bool = False, **environment: str) -> Worker:
        head = "" if bare else "from milepost import *\np = Pipeline('test')\n"
        (tmp_path / "pipeline.py").write_text(head + textwrap.dedent(text))
        return Worker(python, sdk_folder, tmp_path, command, **environment)

    return make
