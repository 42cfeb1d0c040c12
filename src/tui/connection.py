"""The way to the daemon: one channel, the watch that fills the store, and commands. Loaded after the first paint."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

import milepost
from milepost.common import paths
from milepost.common.client import Client, Disconnected, is_listening
from milepost.common.settings import Settings
from milepost.core.errors import Code, MilepostError
from milepost.tui import requests
from milepost.tui.link import Link, LinkState
from milepost.tui.store import JobStore
from milepost.v1 import daemon_service_pb2

CLIENT_NAME = f"tui/{milepost.__version__}"
#: Seconds for questions about the daemon itself.
_ASK = 5.0
#: Seconds between two looks at the machine, and between two tries to reach a daemon that never answered.
_STATS = 2.0
_AGAIN = 1.0


class Connection:
    """`run` follows the daemon for ever; `on_change` is called for each news, `link` says how things stand.

    It begins with the link of the connection before: until it knows better, what is shown is as old as it was.
    """

    def __init__(
        self,
        settings: Settings,
        environ: Mapping[str, str],
        store: JobStore,
        on_change: Callable[[], None],
        link: Link,
    ) -> None:
        self._settings = settings
        self._environ = environ
        self._store = store
        self._on_change = on_change
        self.link = link
        self.client: Client | None = None
        self._caught_up = False

    async def run(self) -> None:
        await self._reach()
        socket = paths.find_socket(self._settings.state_dir, self._settings.socket)
        async with Client(socket, CLIENT_NAME) as client, asyncio.TaskGroup() as group:
            self.client = client
            group.create_task(self._watch(client))
            group.create_task(self._look_at_machine(client))

    async def send(self, order: requests.Order) -> str:
        """What the daemon says that it did. Raises MilepostError."""
        assert self.client is not None, "commands are off until there is a connection"
        return await requests.send(self.client, order)

    async def _reach(self) -> None:
        """Starts the daemon where none answers; goes on trying for as long as it takes."""
        while not is_listening(paths.find_socket(self._settings.state_dir, self._settings.socket)):
            from milepost.common.daemon_start import ensure_daemon  # seldom needed

            if self.link.state is not LinkState.NOT_STARTED:
                self._tell(LinkState.STARTING, "Starting the daemon.")
            try:
                await ensure_daemon(self._settings, self._environ)
            except MilepostError as error:
                self._tell(LinkState.NOT_STARTED, f"{error.message} {error.remedy}".strip())
                await asyncio.sleep(_AGAIN)

    async def _watch(self, client: Client) -> None:
        greeted = self._caught_up = False
        self._store.begin_anew()
        async for update in client.watch():
            if isinstance(update, Disconnected):
                greeted = self._caught_up = False
                self._store.interrupt()
                self._tell(LinkState.LOST, update.error.message)
                continue
            if not greeted:
                greeted = True
                await self._greet(client)
            self._store.apply(update)
            self._caught_up = self._caught_up or update.caught_up
            self._settle()
            self._on_change()

    async def _greet(self, client: Client) -> None:
        """Who answers, and how many jobs are to come."""
        try:
            info = await client.call(client.daemon.GetInfo, daemon_service_pb2.GetInfoRequest(), _ASK)
        except MilepostError:
            return  # the watch tells of a daemon that is gone
        self.link = Link(
            LinkState.LOADING,
            time.time(),
            daemon_version=info.version,
            total=sum(info.jobs_by_state.values()),
            stats=self.link.stats,
        )

    async def _look_at_machine(self, client: Client) -> None:
        """Also tells of a daemon whose stream stands but which does not answer."""
        while True:
            try:
                stats = await client.call(client.daemon.GetStats, daemon_service_pb2.GetStatsRequest(), _ASK)
            except MilepostError as error:
                if self.link.is_live and error.code is Code.TIMED_OUT:
                    self._tell(LinkState.LOST, "The daemon does not answer.")
            else:
                self.link = self.link.with_stats(stats)
                self._settle()
                self._on_change()
            await asyncio.sleep(_STATS)

    def _settle(self) -> None:
        """A daemon that answers is not enough: what is shown has to be of now."""
        if self._caught_up and self.link.state is not LinkState.LIVE:
            self.link = self.link.settled(time.time())

    def _tell(self, state: LinkState, message: str) -> None:
        since = time.time() if self.link.is_live else self.link.since
        self.link = replace(self.link, state=state, since=since, message=message)
        self._on_change()
