"""The writer, the readers, and what opening a folder may meet."""

import asyncio
import os
import resource
import sqlite3
import stat
import threading
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from milepost.core.errors import Code, MilepostError
from milepost.daemon.store import migrate
from milepost.daemon.store.group_commit import Commit, Transaction
from milepost.daemon.store.store import CHECKPOINT_SIZE, Store, suspicion


def remember(key: str) -> Callable[[Transaction], int]:
    """Stores a key in a table that needs nothing else; returns the revision."""

    def insert(tx: Transaction) -> int:
        tx.execute("INSERT INTO tombstone (job_id, revision) VALUES (?, ?)", (key, tx.revision))
        return tx.revision

    return insert


async def stored(store: Store) -> list[str]:
    return await store.read(
        lambda db: [row[0] for row in db.execute("SELECT job_id FROM tombstone ORDER BY revision, job_id").fetchall()]
    )


class TestWrite:
    async def test_is_read_by_whoever_was_answered_and_survives_reopening(self, store: Store) -> None:
        await store.write(remember("a"))
        assert await stored(store) == ["a"]
        await store.close()
        again = await Store.open(store.path.parent)
        try:
            assert (again.id, again.revision) == (store.id, 1)
            assert await stored(again) == ["a"]
        finally:
            await again.close()

    async def test_what_queues_up_during_a_commit_goes_into_one(self, store: Store) -> None:
        entered, go_on = asyncio.Event(), threading.Event()
        loop = asyncio.get_running_loop()

        def slow(tx: Transaction) -> int:
            loop.call_soon_threadsafe(entered.set)
            assert go_on.wait(30)
            return remember("slow")(tx)

        first = asyncio.create_task(store.write(slow))
        await entered.wait()
        others = [asyncio.create_task(store.write(remember(f"k{n}"))) for n in range(100)]
        await asyncio.sleep(0)
        go_on.set()
        assert await first == 1
        assert set(await asyncio.gather(*others)) == {2}
        assert store.revision == 2

    async def test_a_mistake_undoes_its_own_changes_only(self, store: Store) -> None:
        def mistaken(tx: Transaction) -> None:
            remember("half")(tx)
            raise KeyError("mine")

        answers = await asyncio.gather(
            store.write(remember("a")), store.write(mistaken), store.write(remember("b")), return_exceptions=True
        )
        assert answers[0] == answers[2] == 1
        assert isinstance(answers[1], KeyError)
        assert await stored(store) == ["a", "b"]

    async def test_what_many_ask_for_is_one_call(self, store: Store) -> None:
        calls: list[list[str]] = []

        def remember_all(tx: Transaction, keys: Sequence[str]) -> list[str]:
            calls.append(list(keys))
            for key in keys:
                remember(key)(tx)
            if "wrong" in keys:
                raise KeyError("wrong")
            return [key.upper() for key in keys]

        first = store.write(remember("first"))
        answers = await asyncio.gather(first, *(store.write_together(remember_all, key) for key in "abc"))
        assert answers == [1, "A", "B", "C"]
        assert calls == [["a", "b", "c"]]
        mixed = await asyncio.gather(
            *(store.write_together(remember_all, key) for key in ("d", "wrong", "e")), return_exceptions=True
        )
        assert (mixed[0], mixed[2]) == ("D", "E")
        assert isinstance(mixed[1], KeyError)
        assert calls[1:] == [["d", "wrong", "e"], ["d"], ["wrong"], ["e"]]
        assert await stored(store) == ["a", "b", "c", "first", "d", "e"]

    async def test_callers_are_answered_in_the_order_in_which_their_functions_ran(self, store: Store) -> None:
        """What ran first must not be taken for the newest."""
        ran: list[str] = []
        answered: list[str] = []

        def run_all(_: Transaction, names: Sequence[str]) -> Sequence[str]:
            ran.extend(names)
            return names

        def run(_: Transaction) -> str:
            return run_all(_, ["alone"])[0]

        async def ask(answer: Awaitable[str]) -> None:
            answered.append(await answer)

        together = (store.write_together(run_all, name) for name in ("first", "last"))
        await asyncio.gather(ask(next(together)), ask(store.write(run)), ask(next(together)))
        assert answered == ran == ["first", "last", "alone"]

    async def test_a_cancelled_caller_does_not_cancel_its_function(self, store: Store) -> None:
        call = asyncio.create_task(store.write(remember("a")))
        await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await store.write(remember("b"))
        assert await stored(store) == ["a", "b"]

    async def test_nothing_changed_takes_no_revision(self, store: Store) -> None:
        assert await store.write(lambda tx: tx.execute("DELETE FROM tombstone").rowcount) == 0
        assert store.revision == 0

    async def test_listeners_are_told_after_the_callers(self, store: Store) -> None:
        commits: asyncio.Queue[Commit] = asyncio.Queue()
        store.listen(commits.put_nowait)
        await store.write(remember("a"))
        assert await commits.get() == Commit(1, frozenset())

    async def test_close_commits_what_was_asked_for_and_refuses_the_rest(self, store: Store) -> None:
        calls = [asyncio.create_task(store.write(remember(f"k{n}"))) for n in range(10)]
        await asyncio.sleep(0)
        await store.close()
        assert await asyncio.gather(*calls) == [1] * 10
        with pytest.raises(MilepostError) as refusal:
            await store.write(remember("late"))
        assert refusal.value.code is Code.DAEMON_STOPPING
        await store.close()

    async def test_the_wal_is_moved_into_the_database_and_begins_anew(self, store: Store) -> None:
        wal = store.path.with_name("store.db-wal")

        for _ in range(12):
            await store.write(bulky)
        assert store.path.stat().st_size > CHECKPOINT_SIZE // 4
        assert wal.stat().st_size < 2 * CHECKPOINT_SIZE

    async def test_it_begins_anew_though_reads_overlap_at_all_times(self, store: Store) -> None:
        written, ended = 0, False
        moved = threading.Condition()

        def read(db: sqlite3.Connection) -> None:
            db.execute("SELECT count(*) FROM request").fetchone()
            with moved:
                before = written
                moved.wait_for(lambda: written > before + 1, 0.05)  # two commits later, if there are any

        async def read_on() -> None:
            while not ended:
                await store.read(read)

        async with asyncio.TaskGroup() as group:
            for _ in range(2):
                group.create_task(read_on())
            for _ in range(30):
                await store.write(bulky)
                with moved:
                    written += 1
                    moved.notify_all()
            ended = True
        assert store.wal_size < 4 * CHECKPOINT_SIZE


def bulky(tx: Transaction) -> None:
    value = "x" * (CHECKPOINT_SIZE // 4)
    tx.execute("INSERT OR REPLACE INTO request VALUES ('r', 'rpc', 'h', CAST(? AS BLOB), 0)", (value,))


class TestFullOrFailingDisk:
    async def test_full_fails_the_whole_commit_and_the_store_goes_on(self, store: Store) -> None:
        await store.write(remember("before"))
        await store.write(lambda tx: tx.execute("PRAGMA max_page_count = 1").fetchall() and remember("limit")(tx))
        big = "x" * 1_000_000
        answers = await asyncio.gather(
            store.write(remember("small")), store.write(remember(big)), return_exceptions=True
        )
        for answer in answers:
            assert isinstance(answer, MilepostError)
            assert answer.code is Code.STORE_FULL
            assert "Free some space" in answer.remedy
        assert await stored(store) == ["before", "limit"]
        await store.write(lambda tx: tx.execute("PRAGMA max_page_count = 100000").fetchall() and remember("after")(tx))
        assert await stored(store) == ["before", "limit", "after"]

    async def test_after_a_write_error_the_store_takes_nothing_until_it_was_opened_anew(self, tmp_path: Path) -> None:
        store = await Store.open(tmp_path / "state")
        failed = asyncio.Event()
        store.on_failure(failed.set)
        await store.write(remember("before"))
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (store.path.with_name("store.db-wal").stat().st_size, hard))
        try:
            with pytest.raises(MilepostError) as failure:
                await store.write(remember("during"))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert failure.value.code is Code.STORE_UNUSABLE
        assert failure.value.remedy
        assert failed.is_set()
        for attempt in (store.write(remember("after")), stored(store)):
            with pytest.raises(MilepostError) as refusal:
                await attempt
            assert refusal.value.code is Code.STORE_UNUSABLE
        await store.close()

        anew = await Store.open(tmp_path / "state")
        await anew.write(remember("after"))
        assert await stored(anew) == ["before", "after"]
        assert not suspicion(anew.path).exists()
        await anew.close()

    async def test_a_suspect_store_that_is_damaged_is_refused(self, tmp_path: Path) -> None:
        store = await Store.open(tmp_path / "state")
        for number in range(100):
            await store.write(remember(f"{number}" * 100))
        await store.close()
        suspicion(store.path).touch()
        with store.path.open("r+b") as file:
            file.seek(-3 * 4096, os.SEEK_END)
            file.write(b"\xff" * 3 * 4096)
        with pytest.raises(MilepostError) as refusal:
            await Store.open(tmp_path / "state")
        assert refusal.value.code is Code.STORE_UNUSABLE
        assert suspicion(store.path).exists()


class TestOpen:
    async def test_everything_is_private_from_the_start(self, tmp_path: Path) -> None:
        previous = os.umask(0)
        try:
            store = await Store.open(tmp_path / "state")
        finally:
            os.umask(previous)
        try:
            await store.write(remember("a"))
            assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700
            files = list((tmp_path / "state").iterdir())
            assert {file.name for file in files} == {"store.db", "store.db-wal", "store.db-shm"}
            assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
        finally:
            await store.close()

    async def test_settings_that_durability_rests_on(self, store: Store) -> None:
        def settings(tx: Transaction) -> dict[str, object]:
            names = ("journal_mode", "synchronous", "wal_autocheckpoint", "foreign_keys", "auto_vacuum")
            return {name: tx.execute(f"PRAGMA {name}").fetchone()[0] for name in names}

        assert await store.write(settings) == {
            "journal_mode": "wal",
            "synchronous": 2,
            "wal_autocheckpoint": 0,
            "foreign_keys": 1,
            "auto_vacuum": 2,
        }

    async def test_readers_cannot_write(self, store: Store) -> None:
        with pytest.raises((sqlite3.OperationalError, MilepostError), match="readonly"):
            await store.read(lambda db: db.execute("DELETE FROM tombstone"))

    async def refused(self, folder: Path) -> MilepostError:
        with pytest.raises(MilepostError) as refusal:
            await Store.open(folder)
        assert refusal.value.remedy
        return refusal.value

    async def test_newer_schema(self, store: Store) -> None:
        await store.close()
        with sqlite3.connect(store.path) as db:
            db.execute("PRAGMA user_version = 999")
        db.close()
        assert (await self.refused(store.path.parent)).code is Code.STORE_NEWER

    async def test_not_a_database(self, tmp_path: Path) -> None:
        (tmp_path / "store.db").write_text("This is no database, whatever its name says." * 50)
        assert (await self.refused(tmp_path)).code is Code.STORE_UNUSABLE

    async def test_a_database_of_another_program(self, tmp_path: Path) -> None:
        with sqlite3.connect(tmp_path / "store.db") as db:
            db.execute("CREATE TABLE theirs (x)")
        db.close()
        assert (await self.refused(tmp_path)).code is Code.STORE_UNUSABLE
        with sqlite3.connect(tmp_path / "store.db") as db:
            assert db.execute("SELECT name FROM sqlite_schema").fetchall() == [("theirs",)]
        db.close()

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to somebody else")
    async def test_a_folder_of_another_user(self, tmp_path: Path) -> None:
        (tmp_path / "theirs").mkdir()
        os.chown(tmp_path / "theirs", 12345, 12345)
        assert (await self.refused(tmp_path / "theirs")).code is Code.STATE_FOLDER_FOREIGN
        assert list((tmp_path / "theirs").iterdir()) == []


class TestMigrate:
    async def test_an_older_store_is_backed_up_then_brought_forward(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await store.write(remember("kept"))
        await store.close()
        newest = migrate.migrations()[-1][0]
        added = (newest + 1, "-- What comes next; with two statements.\nCREATE TABLE next (x);\nDROP TABLE request;\n")
        known = [*migrate.migrations(), added]
        monkeypatch.setattr(migrate, "migrations", lambda: known)
        again = await Store.open(store.path.parent)
        try:
            assert await stored(again) == ["kept"]
            tables = await again.read(lambda db: {row["name"] for row in db.execute("SELECT name FROM sqlite_schema")})
            assert "next" in tables
            assert "request" not in tables
        finally:
            await again.close()
        backup = store.path.with_name(f"store.db.schema-{newest}")
        assert stat.S_IMODE(backup.stat().st_mode) == 0o600
        copy = sqlite3.connect(backup)
        assert copy.execute("SELECT job_id FROM tombstone").fetchall() == [("kept",)]
        assert copy.execute("PRAGMA user_version").fetchone() == (newest,)
        copy.close()

    async def test_a_failing_one_changes_nothing(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        await store.close()
        newest = migrate.migrations()[-1][0]
        known = [*migrate.migrations(), (newest + 1, "CREATE TABLE next (x);\nCREATE TABLE next (x);\n")]
        with monkeypatch.context() as patched:
            patched.setattr(migrate, "migrations", lambda: known)
            failure = await TestOpen().refused(store.path.parent)
        assert failure.code is Code.STORE_UNUSABLE
        again = await Store.open(store.path.parent)
        assert await again.read(lambda db: db.execute("PRAGMA user_version").fetchone()[0]) == newest
        await again.close()


class Unheard(BaseException):
    """No exception that anybody expects."""


async def test_what_nobody_expects_ends_the_writer_and_leaves_no_caller_waiting(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "state")
    failed = asyncio.Event()
    store.on_failure(failed.set)

    def break_down(tx: Transaction) -> None:
        raise Unheard

    with pytest.raises(MilepostError) as refusal:
        async with asyncio.timeout(10):
            await store.write(break_down)
    assert refusal.value.code is Code.STORE_UNUSABLE
    async with asyncio.timeout(10):
        await failed.wait()
    assert store.failure is not None
    with pytest.raises(MilepostError):
        await store.write(lambda _: None)
    with pytest.raises(Unheard):
        await store.close()
