"""What `import milepost` costs, in every client and every worker."""

import subprocess
import sys
from pathlib import Path

import milepost


def test_import_is_cheap() -> None:
    code = "import sys; import milepost; print(*sys.modules)"
    root = Path(milepost.__file__).parent.parent
    arguments = [sys.executable, "-S", "-c", code]
    loaded = subprocess.run(arguments, cwd=root, capture_output=True, text=True, check=True).stdout.split()
    heavy = {"asyncio", "inspect", "dataclasses", "logging", "pathlib", "socket", "grpc", "textual"}
    assert "milepost.sdk.pipeline" in loaded
    assert not heavy & set(loaded)
