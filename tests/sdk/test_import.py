"""What `import milepost` costs, in every client and every worker."""

import subprocess
import sys
from pathlib import Path

import milepost


def loaded_by(code: str) -> set[str]:
    root = Path(milepost.__file__).parent.parent
    arguments = [sys.executable, "-S", "-c", f"{code}; import sys; print(*sys.modules)"]
    return set(subprocess.run(arguments, cwd=root, capture_output=True, text=True, check=True).stdout.split())


def test_import_is_cheap() -> None:
    loaded = loaded_by("from milepost import Pipeline")
    heavy = {"asyncio", "inspect", "dataclasses", "logging", "pathlib", "socket", "grpc", "textual"}
    assert "milepost.sdk.pipeline" in loaded
    assert not heavy & loaded


def test_clients_do_not_pay_for_the_sdk() -> None:
    assert not {name for name in loaded_by("import milepost") if name.startswith("milepost.sdk")}


def test_every_name_is_there() -> None:
    assert all(getattr(milepost, name) is not None for name in milepost.__all__)
    assert set(dir(milepost)) == set(milepost.__all__)
