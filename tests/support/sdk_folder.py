"""A copy of the SDK as the daemon makes it: all that a worker has of Milepost."""

import shutil
from pathlib import Path

import milepost


def make_sdk_folder(target: Path) -> Path:
    """Copies the SDK to the folder `target`, which workers are then started with; gives the folder."""
    package = Path(milepost.__file__).parent
    sdk = target / "milepost" / "sdk"
    sdk.mkdir(parents=True)
    shutil.copy(package / "__init__.py", target / "milepost" / "__init__.py")
    for module in (package / "sdk").glob("*.py"):
        shutil.copy(module, sdk / module.name)
    shutil.copy(package / "sdk" / "__main__.py", target / "__main__.py")
    return target
