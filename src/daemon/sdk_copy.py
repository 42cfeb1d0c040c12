"""The copy of the SDK that the pipelines' interpreters run: this Milepost's, whatever else is installed there.

It lies in the state folder under the digest of its content, so that a run goes on with the SDK it began with while a
newer daemon serves another.
"""

import hashlib
import os
import secrets
import shutil
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from milepost.common.edges import edge

_DIGEST_LENGTH = 16


def copy_sdk(state_folder: Path) -> Path:
    """Makes `<state>/sdk/<digest>` unless it is there, whole and unaltered; returns it.

    It holds `__main__.py` and `milepost/{__init__.py,sdk/*.py}`, and is what a worker is started with.
    """
    files = _sources()
    target = state_folder / "sdk" / _digest(files)
    if _is_whole(target, files):
        return target
    target.parent.mkdir(mode=0o700, exist_ok=True)
    partial = target.with_name(f".new-{secrets.token_hex(4)}")
    for name, content in files.items():
        _write(partial / name, content)
    for folder in (partial / "milepost" / "sdk", partial / "milepost", partial):
        sync_folder(folder)
    _publish(partial, target)
    return target


@edge("sdk_copy.publish")
def _publish(partial: Path, target: Path) -> None:
    if target.exists():  # damaged: workers that run have read what they need of it
        target.rename(target.with_name(f".old-{secrets.token_hex(4)}"))
    partial.rename(target)
    sync_folder(target.parent)
    for leftover in (*target.parent.glob(".new-*"), *target.parent.glob(".old-*")):
        shutil.rmtree(leftover)


@edge("sync_folder")
def sync_folder(folder: Path) -> None:
    """Makes names in the folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sources() -> dict[str, bytes]:
    package = resources.files("milepost")
    sdk = package / "sdk"
    files = {f"milepost/sdk/{file.name}": file.read_bytes() for file in _python_files(sdk)}
    files["milepost/__init__.py"] = (package / "__init__.py").read_bytes()
    files["__main__.py"] = files.pop("milepost/sdk/__main__.py")
    return dict(sorted(files.items()))


def _python_files(folder: Traversable) -> list[Traversable]:
    return [file for file in folder.iterdir() if file.name.endswith(".py")]


def _digest(files: dict[str, bytes]) -> str:
    digest = hashlib.sha256()
    for name, content in files.items():
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:_DIGEST_LENGTH]


def _is_whole(folder: Path, files: dict[str, bytes]) -> bool:
    try:
        return all((folder / name).read_bytes() == content for name, content in files.items())
    except (FileNotFoundError, NotADirectoryError):
        return False


@edge("sdk_copy.write")
def _write(path: Path, content: bytes) -> None:
    missing = [folder for folder in (path.parent, *path.parent.parents) if not folder.exists()]
    for folder in reversed(missing):
        folder.mkdir(mode=0o700)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
