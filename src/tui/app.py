"""The application: what all screens share, and nothing about jobs."""

import asyncio
import gc
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from textual import events
from textual.app import App
from textual.binding import Binding, BindingType
from textual.command import CommandPalette, Provider, SearchIcon
from textual.filter import LineFilter
from textual.screen import Screen
from textual.signal import Signal
from textual.widgets import Input
from textual.worker import Worker

from milepost.common.settings import Settings
from milepost.common.text import safe_lines
from milepost.core.errors import MilepostError
from milepost.tui.clipboard import copy_by_tmux
from milepost.tui.clock import Clock
from milepost.tui.filters import terminal_filters
from milepost.tui.link import Link, LinkState
from milepost.tui.memory import Memory
from milepost.tui.screens.jobs import JobsScreen
from milepost.tui.shelf import Shelf
from milepost.tui.status import Glyphs, glyphs_for
from milepost.tui.store import Changes, JobStore
from milepost.tui.theme import DEFAULT_THEME, THEMES, Look, default_variables, make_look

if TYPE_CHECKING:
    from milepost.common.client import Client
    from milepost.tui.connection import Connection

#: Seconds between two repaints of what changed.
FRAME = 0.1
#: Seconds after the last of several choices until they are written down.
SAVE_AFTER = 1.0


def _commands() -> "type[Provider]":
    from milepost.tui.palette import Commands  # needed when the palette opens

    return Commands


class MilepostApp(App[None]):
    """Owns the store and the connection, and publishes what changed to the screens, at most ten times a second."""

    TITLE = "milepost"
    CSS_PATH = "tui.tcss"
    ENABLE_COMMAND_PALETTE = True
    COMMANDS: ClassVar[set[type[Provider] | Callable[[], type[Provider]]]] = {_commands}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit", "Quit", id="app.quit"),
        Binding("ctrl+r", "reconnect", "Reconnect, or start the daemon", id="app.reconnect", show=False),
        Binding("colon,ctrl+p", "command_palette", "Command", id="app.palette", key_display=":", priority=True),
        Binding("question_mark", "help", "Help", id="app.help", key_display="?"),
    ]

    def __init__(
        self, settings: Settings, environ: Mapping[str, str], job: str = "", clock: Clock | None = None
    ) -> None:
        self.glyphs: Glyphs = glyphs_for(environ, sys.stdout.encoding or "")
        super().__init__()
        self.settings = settings
        self.environ = environ
        self.clock = clock or Clock()
        self.store = JobStore()
        self.shelf = Shelf()
        self.connection: Connection | None = None
        self.first_job = job
        self.changes: Signal[Changes] = Signal(self, "changes")
        self._changed = asyncio.Event()
        for theme in THEMES:
            self.register_theme(theme)
        self.memory = Memory(environ)
        remembered = self.memory.now.theme
        self.chosen_theme = remembered if remembered in self.available_themes else DEFAULT_THEME
        # Without its watcher, which would have everything styled twice before the first paint.
        self.set_reactive(MilepostApp.theme, self.chosen_theme)
        self.stylesheet.set_variables(self.get_css_variables())
        if settings.keys:
            from milepost.tui.keys import keymap  # loads everything that has bindings

            self.set_keymap(keymap(settings.keys))

    @property
    def link(self) -> Link:
        return self.connection.link if self.connection else Link(LinkState.CONNECTING, self.clock.now())

    def client_of(self) -> "Client | None":
        """The way to the daemon, as soon as there is one."""
        return self.connection.client if self.connection else None

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return default_variables(self.current_theme)

    @property
    def look(self) -> Look:
        variables = self.theme_variables
        named = {name: value for name, value in variables.items() if name.startswith("status-")}
        named |= {name: variables[name] for name in ("foreground", "accent")}
        few_colours = self.no_color or self.native_ansi_color
        return make_look(self.glyphs, tuple(sorted(named.items())), few_colours=few_colours)

    def get_line_filters(self) -> Sequence[LineFilter]:
        return terminal_filters(super().get_line_filters(), self.glyphs, no_color=self.no_color)

    def get_default_screen(self) -> Screen[None]:
        return JobsScreen(self.store, self.clock)

    async def on_event(self, event: events.Event) -> None:
        """What is pasted may come from a job: without control characters, which a field would show as they are."""
        if isinstance(event, events.Paste):
            event.text = "".join(letter for letter in event.text if letter.isprintable() or letter == "\n")
        await super().on_event(event)

    def on_mount(self) -> None:
        self._tell_problem(self.memory.problem)
        self.run_worker(self._tell_changes(), group="changes")
        if not self.is_headless:
            self.set_interval(1.0, self._end_without_terminal)
        # The connection loads grpc, which costs more than the first paint: that comes first.
        self.call_after_refresh(self._after_first_paint)

    def _end_without_terminal(self) -> None:
        """Not everybody passes SIGHUP on, and Textual would read the end of its input over and over."""
        if not os.isatty(0):
            self.exit()

    def _after_first_paint(self) -> None:
        gc.enable()  # whoever started the program may have put it off until now
        self._connect()

    def _connect(self) -> None:
        self.run_worker(self._follow(), name="connection", exclusive=True, group="connection")

    async def _follow(self) -> None:
        kind = await asyncio.to_thread(_load_connection)
        self.connection = kind(self.settings, self.environ, self.store, self._on_change, self.link)
        self._on_change()
        await self.connection.run()

    def _on_change(self) -> None:
        self._changed.set()

    async def _tell_changes(self) -> None:
        """Once a frame at most. A task, for a timer of Textual that calls once does not when it is late."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            self._tell()
            await asyncio.sleep(FRAME)

    def _tell(self) -> None:
        self.changes.publish(self.store.take_changes())
        if self.first_job and self.link.is_live:
            reference, self.first_job = self.first_job, ""
            self.run_worker(self._open_job(reference), group="first job")

    async def _open_job(self, reference: str) -> None:
        """The job that was named when the program was started, over the list."""
        from milepost.tui.details import job_named

        client = self.client_of()
        assert client is not None, "it is live"
        try:
            job = await job_named(client, reference)
        except MilepostError as error:
            self.notify(safe_lines(f"{error.message}\n{error.remedy}"), severity="error", timeout=60, markup=False)
        else:
            self.open_job(job.id)

    def open_job(self, job_id: str) -> None:
        """On the whole screen, over what is there."""
        from milepost.tui.screens.job import JobScreen  # more than the list itself: not before the first paint

        self.push_screen(JobScreen(job_id))

    def action_reconnect(self) -> None:
        """At once, and with a daemon that is started where none runs; otherwise it waits for one."""
        if not self.link.is_live:
            self._connect()

    # --- what a person chooses ---

    def remember(self, **values: object) -> None:
        """For the next time: parts of `Remembered`."""
        self.memory.change(**values)
        _: Worker[None] = self.run_worker(self._save, group="memory", exclusive=True)

    async def _save(self) -> None:
        """A task, as what tells the changes."""
        await asyncio.sleep(SAVE_AFTER)
        self._tell_problem(self.memory.save())

    def _tell_problem(self, problem: str) -> None:
        if problem:
            self.notify(safe_lines(problem), severity="warning", timeout=30, markup=False)

    def on_unmount(self) -> None:
        self.memory.save()

    def choose_theme(self, name: str) -> None:
        self.chosen_theme = self.theme = name
        self.remember(theme=name)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """A field takes the key as a letter, and a question is answered first."""
        if action == "command_palette":
            return not isinstance(self.focused, Input) and not self.screen.is_modal
        return super().check_action(action, parameters)

    def action_command_palette(self) -> None:
        if not isinstance(self.screen, CommandPalette):
            self.push_screen(CommandPalette(placeholder="A command, or the name or id of a job"))

    def refresh_css(self, animate: bool = True) -> None:
        super().refresh_css(animate)
        if self.screen_stack and isinstance(self.screen, CommandPalette):
            # Textual leaves out its own screens, so that the palette kept the theme in which it was opened.
            self.stylesheet.update(self.screen, animate=animate)

    def search_themes(self) -> None:
        from milepost.tui.palette import Themes

        self.push_screen(CommandPalette(providers=[Themes], placeholder="A theme"))

    def on_command_palette_opened(self) -> None:
        self.screen.query_one(SearchIcon).icon = ":"

    def on_command_palette_option_highlighted(self, event: CommandPalette.OptionHighlighted) -> None:
        from milepost.tui.palette import highlighted_theme

        self.theme = highlighted_theme(event) or self.chosen_theme

    def on_command_palette_closed(self, event: CommandPalette.Closed) -> None:
        if not event.option_selected:
            self.theme = self.chosen_theme

    def copy_to_clipboard(self, text: str) -> None:
        super().copy_to_clipboard(text)
        if self.environ.get("TMUX"):
            self.run_worker(self._give_to_tmux(text), group="clipboard", exclusive=True)

    async def _give_to_tmux(self, text: str) -> None:
        if not await copy_by_tmux(text, self.environ):
            self.notify("tmux did not take what was copied: that needs tmux 3.2.", severity="warning", markup=False)

    def action_help(self) -> None:
        from milepost.tui.keys import bound_keys  # seldom needed, as what follows
        from milepost.tui.screens.help import HelpScreen

        if not isinstance(self.screen, HelpScreen):
            self.push_screen(HelpScreen(bound_keys(self.screen)))


def _load_connection() -> "type[Connection]":
    from milepost.tui.connection import Connection

    return Connection
