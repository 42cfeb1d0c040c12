"""The writer with its adaptive group commit, and the readers."""

import asyncio
import logging
import os
import secrets
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, Self, TypeVar

from milepost.common.edges import edge
from milepost.core.errors import Code, MilepostError
from milepost.daemon.store import failures
from milepost.daemon.store.connection import StoreConnection, configure_writer, open_reader, open_writer
from milepost.daemon.store.group_commit import Commit, Result, Transaction, Write, commit_together
from milepost.daemon.store.migrate import check, migrate
from milepost.daemon.store.queries import load

T = TypeVar("T")
A = TypeVar("A")

FILE_NAME = "store.db"
READERS = 3
#: Bytes of WAL after which the writer checkpoints.
CHECKPOINT_SIZE = 16 * 1024 * 1024
#: Seconds that a checkpoint waits at most until all reads have ended, which it seldom does.
_READS_END = 1.0

_QUERIES = load("store")
_LOG = logging.getLogger(__name__)


class Store:
    """Opened with `await Store.open(folder)`, ended with `await close()`."""

    def __init__(self, path: Path, store_id: str, revision: int, writer: StoreConnection) -> None:
        self.path = path
        self.id = store_id
        self.revision = revision
        self._writer = writer
        self._readers: list[StoreConnection] = []
        self._idle_readers: asyncio.LifoQueue[StoreConnection] = asyncio.LifoQueue()
        self._reads_may_begin = asyncio.Event()
        self._reads_may_begin.set()
        self._queue: list[Write[Any]] = []
        self._wake = asyncio.Event()
        self._closing = False
        self._failure: BaseException | None = None
        self._on_failure: Callable[[], None] = lambda: None
        self._listeners: list[Callable[[Commit], None]] = []
        self._wal = path.with_name(path.name + "-wal")
        self._wal_size_checkpointed = 0
        self._task: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, folder: Path, synchronous: str = "FULL") -> Self:
        """Opens or creates `folder/store.db`, brought to this version's schema.

        Raises MilepostError: STATE_FOLDER_FOREIGN, STORE_NEWER, STORE_UNUSABLE, STORE_FULL.
        """
        path = folder / FILE_NAME
        try:
            _prepare_file(folder, path)
            writer = await open_writer(path)
        except (OSError, sqlite3.Error) as error:
            raise failures.explain(error, path) from error
        store: Self | None = None
        try:
            store_id, revision = await writer.run(lambda raw: _open_schema(raw, path, synchronous))
            store = cls(path, store_id, revision, writer)
            for _ in range(READERS):
                store._add_reader(await open_reader(path))
        except BaseException as error:
            for reader in store._readers if store else ():
                await reader.close()
            await writer.close()
            if isinstance(error, OSError | sqlite3.Error):
                raise failures.explain(error, path) from error
            raise
        store._task = asyncio.create_task(store._write_until_closed(), name="store writer")
        return store

    @property
    def failure(self) -> MilepostError | None:
        """Why the store takes nothing any more: the disk or the file has failed under it. It must be opened anew."""
        return None if self._failure is None else failures.explain(self._failure, self.path)

    @property
    def wal_size(self) -> int:
        """Bytes of the write-ahead log."""
        try:
            return self._wal.stat().st_size
        except FileNotFoundError:
            return 0

    def on_failure(self, callback: Callable[[], None]) -> None:
        """The callback is called on the loop when the store has failed."""
        self._on_failure = callback

    def _add_reader(self, reader: StoreConnection) -> None:
        self._readers.append(reader)
        self._idle_readers.put_nowait(reader)

    async def close(self) -> None:
        """Commits what was asked for, then closes. May be called twice."""
        self._closing = True
        self._wake.set()
        task, self._task = self._task, None
        if task is None:
            return
        try:
            await task
        finally:
            for reader in self._readers:
                await reader.close()
            # The last connection to close checkpoints what is left: it must be the writer.
            await self._writer.close()

    async def write(self, function: Callable[[Transaction], T]) -> T:
        """Runs the function in the next commit and returns its result when that is durable.

        What the function raises is raised here, and its changes alone are undone. A caller that is cancelled does not
        cancel its function. Raises MilepostError STORE_FULL or STORE_UNUSABLE when the commit failed: then nothing of
        it has happened, and it can be tried again as soon as the cause is mended. The exception is a store that has
        failed (`failure`): what of the commit has reached the disk is known when it has been opened anew.
        """
        return await self._write(lambda tx, _: [function(tx)], None)

    async def write_together(self, function: Callable[[Transaction, Sequence[A]], Sequence[T]], argument: A) -> T:
        """As `write`, for what many ask for at a time: the function is called once for all of them in one commit.

        It gets the arguments in the order in which they came, where the first of them stands, and returns an answer for
        each. When it raises, nothing of that call has happened, and it is called for each argument alone.
        """
        return await self._write(function, argument)

    async def _write(self, function: Callable[[Transaction, Sequence[A]], Sequence[T]], argument: A) -> T:
        self._refuse_when_closing()
        write: Write[T] = Write(function, argument, asyncio.get_running_loop().create_future())
        self._queue.append(write)
        self._wake.set()
        return await write.answer

    async def read(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Runs the function on a reader, in one snapshot that holds every commit answered so far."""
        self._refuse_when_closing()
        await self._reads_may_begin.wait()
        reader = await self._idle_readers.get()
        try:
            return await reader.run(lambda connection: _run_in_snapshot(connection, function))
        except sqlite3.Error as error:
            if failures.is_of_storage(error):
                raise failures.explain(error, self.path) from error
            raise
        finally:
            # Its thread takes one function after the other, so a cancelled caller's reader can be handed on at once.
            self._idle_readers.put_nowait(reader)

    def listen(self, callback: Callable[[Commit], None]) -> None:
        """The callback is called on the loop after each commit that changed something."""
        self._listeners.append(callback)

    def _refuse_when_closing(self) -> None:
        if self.failure is not None:
            raise self.failure
        if self._closing:
            raise MilepostError(Code.DAEMON_STOPPING, "The daemon is stopping.", "Try again when it runs again.")

    async def _write_until_closed(self) -> None:
        """The owned task: everything queued since the last commit goes into the next one."""
        try:
            while (self._queue or not self._closing) and self._failure is None:
                await self._wake.wait()
                self._wake.clear()
                batch, self._queue = self._queue, []
                if batch:
                    await self._commit(batch)
        except BaseException as error:
            self._failure = self._failure or error
            self._on_failure()
            raise
        finally:
            self._closing = True
            for write in self._queue:
                write.resolve(Result(error=failures.explain(RuntimeError("its writer has ended"), self.path)))

    async def _commit(self, batch: Sequence[Write[Any]]) -> None:
        revision = self.revision + 1
        try:
            done = await self._writer.run(lambda connection: commit_together(connection, revision, batch))
        except BaseException as error:
            self._fail_if_final(error)
            for write in batch:
                write.resolve(Result(error=failures.explain(error, self.path)))
            if isinstance(error, sqlite3.Error):
                return
            raise
        if done.commit is not None:
            self.revision = revision
        for number, result in done.results.items():
            batch[number].resolve(result)
        if done.commit is not None:
            for listener in self._listeners:
                # Through the loop: a listener's mistake is reported by the loop and cannot end the writer.
                asyncio.get_running_loop().call_soon(listener, done.commit)
            await self._checkpoint_when_large()

    async def _checkpoint_when_large(self) -> None:
        try:
            size = self._wal.stat().st_size
            if size < self._wal_size_checkpointed:
                self._wal_size_checkpointed = 0  # it has begun anew
            if size - self._wal_size_checkpointed >= CHECKPOINT_SIZE:
                self._wal_size_checkpointed = size
                async with self._no_readers() if size >= 2 * CHECKPOINT_SIZE else nullcontext():
                    await self._writer.run(checkpoint)
        except (OSError, sqlite3.Error) as error:
            # Nothing is lost: the WAL grows until a later checkpoint succeeds.
            _LOG.error("the WAL of %s could not be moved into the database: %s", self.path, error)
            self._fail_if_final(error)

    @asynccontextmanager
    async def _no_readers(self) -> AsyncIterator[None]:
        """Once the reads under way have ended; others wait.

        Where reads overlap at all times, one of them always needs the WAL, which could then never begin anew.
        """
        taken: list[StoreConnection] = []
        self._reads_may_begin.clear()
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(_READS_END):
                    while len(taken) < len(self._readers):
                        taken.append(await self._idle_readers.get())
            yield
        finally:
            for reader in taken:
                self._idle_readers.put_nowait(reader)
            self._reads_may_begin.set()

    def _fail_if_final(self, error: BaseException) -> None:
        """After a failed sync the kernel may call lost pages clean: only what is read from the disk again counts."""
        if self._failure is None and isinstance(error, sqlite3.Error) and failures.is_final(error):
            self._failure = error
            with suppress(OSError):
                suspicion(self.path).touch(0o600)
            self._on_failure()


def _run_in_snapshot(connection: sqlite3.Connection, function: Callable[[sqlite3.Connection], T]) -> T:
    connection.execute("BEGIN")
    try:
        return function(connection)
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def checkpoint(connection: sqlite3.Connection) -> None:
    """Moves the WAL into the database as far as readers allow; PASSIVE waits for nobody."""
    connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()


def _prepare_file(folder: Path, path: Path) -> None:
    """The folder is private (0700) and ours, and so is the file (0600), before SQLite opens it.

    SQLite gives `-wal` and `-shm` the permissions of the file itself.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _refuse_foreign(folder)
    folder.chmod(0o700)
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
    except FileExistsError:
        _refuse_foreign(path)
        path.chmod(0o600)
    else:
        _make_durable(folder)


@edge("store.sync_folder")
def _make_durable(folder: Path) -> None:
    """A new name in the folder survives a power loss."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _refuse_foreign(path: Path) -> None:
    owner = path.stat(follow_symlinks=path.is_dir()).st_uid
    if owner != os.geteuid():
        raise MilepostError(
            Code.STATE_FOLDER_FOREIGN,
            f"{path} belongs to another user (uid {owner}).",
            "Choose a state folder of your own with --state-dir.",
        )


def suspicion(path: Path) -> Path:
    """Lies beside a store that has failed, until it was checked."""
    return path.with_name(path.name + ".suspect")


def _check_suspect(connection: sqlite3.Connection, path: Path) -> None:
    """Raises MilepostError(STORE_UNUSABLE) when the disk has damaged the file."""
    if not suspicion(path).exists():
        return
    _LOG.warning("%s is checked: the disk failed when it was open last", path)
    found = [str(row[0]) for row in connection.execute("PRAGMA quick_check").fetchall()]
    if found != ["ok"]:
        raise MilepostError(
            Code.STORE_UNUSABLE,
            f"{path} is damaged ({found[0]}).",
            "Move it away and restore a backup, or start on another state folder with --state-dir.",
        )
    _absolve(path)


@edge("store.absolve")
def _absolve(path: Path) -> None:
    suspicion(path).unlink(missing_ok=True)


def _open_schema(connection: sqlite3.Connection, path: Path, synchronous: str) -> tuple[str, int]:
    check(connection, path)
    _check_suspect(connection, path)
    configure_writer(connection, synchronous)
    migrate(connection, path, secrets.token_hex(8))
    # After a migration, which may sort all items: what undoes a part of a commit needs no file, nor room on a disk.
    connection.execute("PRAGMA temp_store = MEMORY")
    row = connection.execute(_QUERIES.identity).fetchone()
    return row["store_id"], row["revision"]
