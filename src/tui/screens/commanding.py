"""Commands on the chosen jobs, for any screen that has some: asked where something is destroyed, sent, and told of."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, cast

from textual.binding import Binding, BindingType
from textual.screen import Screen

from milepost.common.text import brief
from milepost.core.errors import Code, MilepostError
from milepost.tui.actions import Asks, Offered, Plan, offer_of, offered, offered_one, plan
from milepost.tui.parts import Button
from milepost.tui.rows import JobRow

if TYPE_CHECKING:
    from milepost.tui.app import MilepostApp

#: What each key means, in the order in which the first allowed one is taken.
KEYED: Mapping[str, Sequence[str]] = {
    "resume": ("RESUME",),
    "restart": ("RESTART", "RESTART_FROM_STEP", "RESTART_FROM_SCRATCH"),
    "pause": ("PAUSE", "PAUSE_NOW"),
    "cancel": ("CANCEL",),
    "force_cancel": ("FORCE_CANCEL",),
    "retry": ("RETRY",),
}
KEYS: Mapping[str, str] = {
    "resume": "r",
    "restart": "R",
    "pause": "p",
    "cancel": "x",
    "force_cancel": "X",
    "retry": "t",
}
NOT_LIVE = "Not connected: commands are off until the daemon answers."
#: Seconds that an error stays, unless a person clears it: until read.
STICKY = 86_400.0
#: Reasons why commands were not done that are told together.
CAUSES = 3


class CommandScreen(Screen[None]):
    """Keys and buttons for commands. Children say for which jobs (`chosen_rows`) and draw the buttons."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(key, f"key('{name}')", offer_of(KEYED[name][0]).label, id=f"command.{name}")
        for name, key in KEYS.items()
    ]

    def __init__(self) -> None:
        super().__init__()
        self._busy: set[tuple[str, str]] = set()
        self._is_asking = False
        self._answered_too_soon = False

    def chosen_rows(self) -> Sequence[JobRow]:
        raise NotImplementedError

    def paint_actions(self) -> None:
        raise NotImplementedError

    def go_to(self, job_id: str) -> None:
        """Shows another job."""
        raise NotImplementedError

    def tells_of_slide(self) -> bool:
        """Whether another job came under the cursor by itself, faster than a person can see: then it says so."""
        return False

    @property
    def milepost(self) -> "MilepostApp":
        return cast("MilepostApp", self.app)

    def buttons(self, row: JobRow) -> list[Button]:
        """One for each key that does something now, and for each command without a key; recommended ones first."""
        keys = self.displayed_keys()
        busy = {command for job_id, command in self._busy if job_id == row.job.id}
        keyed = [(name, offered_one(row, commands)) for name, commands in KEYED.items()]
        found = [
            Button(one, f"key:{name}", keys.get(name, ""), bool(busy.intersection(KEYED[name])))
            for name, one in keyed
            if one.allowed
        ]
        known = {command for commands in KEYED.values() for command in commands}
        found += [
            Button(one, f"command:{one.offer.command}", "", one.offer.command in busy)
            for one in offered(row)
            if one.allowed and one.offer.command not in known
        ]
        return sorted(found, key=lambda button: not button.offered.recommended)

    def buttons_for_many(self, job_ids: Collection[str]) -> list[Button]:
        """One for each key; whom it reaches is told before it is sent."""
        keys = self.displayed_keys()
        busy = {command for job_id, command in self._busy if job_id in job_ids}
        return [
            Button(
                Offered(offer_of(commands[0]), allowed=True),
                f"key:{name}",
                keys.get(name, ""),
                bool(busy.intersection(commands)),
            )
            for name, commands in KEYED.items()
        ]

    def displayed_keys(self) -> Mapping[str, str]:
        """What a person presses, as remapped, by name of the key."""
        remapped = self.milepost.settings.keys
        keys = {}
        for name, key in KEYS.items():
            chosen = remapped.get(f"command.{name}", key).split()
            keys[name] = chosen[0] if chosen else ""
        return keys

    def complain(self, error: MilepostError) -> None:
        """Stays until it is read."""
        text = brief(f"{error.message}\n{error.remedy}".strip(), 600)
        self.notify(text, title="Not done", severity="error", timeout=STICKY, markup=False)

    def answers_too_soon(self) -> bool:
        """Whether a `y` came between a command and its question: it is for that, and nobody can have read it yet."""
        self._answered_too_soon = self._is_asking
        return self._is_asking

    def on_screen_suspend(self) -> None:
        """All that was typed before the question was there has been handled."""
        if self._answered_too_soon:
            from milepost.tui.screens.dialogs import ConfirmDialog  # as in `_chosen`

            if isinstance(self.app.screen, ConfirmDialog):
                self.app.screen.answered_too_soon()
            self._answered_too_soon = False

    def action_key(self, name: str) -> None:
        self.command(KEYED[name])

    def command(self, commands: Sequence[str]) -> None:
        """For the chosen jobs."""
        self.command_for([row.id for row in self.chosen_rows()], commands)

    def command_for(self, job_ids: Sequence[str], commands: Sequence[str]) -> None:
        """Asks where needed, sends, and tells. A command that is not allowed says why and what instead."""
        rows = [row for job_id in job_ids if (row := self.milepost.store.rows.get(job_id))]
        if not rows:
            return
        if not self.milepost.link.is_live:
            self.notify(NOT_LIVE, severity="warning", markup=False)
        elif not self._is_asking:  # a key that is held down asks once
            self._is_asking = True
            deed = self._on_one(rows[0], commands) if len(rows) == 1 else self._on_many(rows, commands)
            # Of the app: what was sent is told, whatever screen is open by then.
            self.app.run_worker(deed, group="commands")

    def _has_changed(self, row: JobRow) -> bool:
        """Whether the job is in another state than when a person was asked about it."""
        now = self.milepost.store.rows.get(row.id)
        return now is None or now.state is not row.state

    # --- one job ---

    async def _on_one(self, row: JobRow, commands: Sequence[str]) -> None:
        try:
            command, step = await self._chosen(row, commands)
        finally:
            self._is_asking = False
        if command:
            await self._send(row.id, command, step)

    async def _chosen(self, row: JobRow, commands: Sequence[str]) -> tuple[str, str]:
        """The command and the step that it is for; ("", "") when nothing is to be done."""
        one = offered_one(row, commands)
        command = one.offer.command
        if not one.allowed:
            self.notify(brief(one.refusal), title=f"Cannot {one.offer.label.lower()}", severity="warning", markup=False)
            return "", ""
        if (row.id, command) in self._busy:
            return "", ""
        if one.offer.asks is Asks.NOTHING:
            return command, ""
        from milepost.tui.screens import questions  # not before the first of them

        if one.offer.asks is Asks.STEP or (len(commands) > 1 and "RESTART" in commands):
            chosen = await questions.chosen_restart(self.app, row)
        else:
            chosen = (command, "") if await questions.confirmed(self.app, row, one) else ("", "")
        if chosen[0] and self._has_changed(row):
            self.complain(_changed(row))
            return "", ""
        return chosen

    async def _send(self, job_id: str, command: str, step: str = "", item_keys: tuple[str, ...] = ()) -> None:
        try:
            message = await self._sent(job_id, command, step, item_keys)
        except MilepostError as error:
            self.complain(error)
        else:
            title = brief(f"{offer_of(command).label}: {job_id}")
            self.notify(brief(message), title=title, markup=False)

    async def _sent(self, job_id: str, command: str, step: str = "", item_keys: tuple[str, ...] = ()) -> str:
        from milepost.tui.requests import Order  # loaded with the connection

        connection = self.milepost.connection
        if connection is None or not connection.link.is_live:  # lost while a person was asked
            raise MilepostError(Code.DAEMON_UNREACHABLE, "The connection was lost before it was sent.", NOT_LIVE)
        entry = (job_id, command)
        self._busy.add(entry)
        self._paint_busy()
        try:
            return await connection.send(Order(command, job_id, step, item_keys))
        except MilepostError as error:
            if error.code is Code.DAEMON_UNREACHABLE:
                raise MilepostError(
                    error.code,
                    "The connection was lost before the answer came: whether it was done is not known.",
                    "The list shows it as soon as the daemon answers again.",
                ) from error
            raise
        finally:
            self._busy.discard(entry)
            self._paint_busy()

    def _paint_busy(self) -> None:
        if self.is_attached:  # a detail may be closed while its command is under way
            self.paint_actions()

    # --- many jobs ---

    async def _on_many(self, rows: Sequence[JobRow], commands: Sequence[str]) -> None:
        try:
            confirmed = await self._confirmed_plans(rows, commands)
        finally:
            self._is_asking = False
        for planned in confirmed:
            await self._send_many(planned)

    async def _confirmed_plans(self, rows: Sequence[JobRow], commands: Sequence[str]) -> list[Plan]:
        from milepost.tui.screens import questions  # as above

        confirmed = []
        for planned in plan(rows, commands):
            if not planned.job_ids:
                self.notify(f"{planned.words}.", title="Nothing to do", severity="warning", markup=False)
            elif await questions.confirmed_plan(self.app, planned):
                confirmed.append(self._still_meant(planned, rows))
        return confirmed

    def _still_meant(self, planned: Plan, rows: Sequence[JobRow]) -> Plan:
        """Without the jobs that changed while it was asked."""
        changed = {row.id for row in rows if self._has_changed(row)}.intersection(planned.job_ids)
        if changed:
            words = f"{len(changed)} of these jobs changed while you were asked, and stay as they are."
            self.notify(words, severity="warning", timeout=STICKY, markup=False)
        return replace(planned, job_ids=tuple(job_id for job_id in planned.job_ids if job_id not in changed))

    async def _send_many(self, planned: Plan) -> None:
        from milepost.common.client import COMMANDS_AT_A_TIME  # loaded with the connection

        slots = asyncio.Semaphore(COMMANDS_AT_A_TIME)
        errors: list[tuple[str, MilepostError]] = []

        async def one(job_id: str) -> None:
            async with slots:
                try:
                    await self._sent(job_id, planned.offer.command)
                except MilepostError as error:
                    errors.append((job_id, error))

        async with asyncio.TaskGroup() as group:
            for job_id in planned.job_ids:
                group.create_task(one(job_id))
        done = len(planned.job_ids) - len(errors)
        self.notify(f"{planned.offer.label}: {done} of {len(planned.job_ids)} jobs done.", markup=False)
        if errors:
            self.complain(_together(errors))


def _together(errors: Sequence[tuple[str, MilepostError]]) -> MilepostError:
    """One error for all: a line for each cause, with whom it was for."""
    jobs_of: dict[str, list[str]] = {}
    for job_id, error in errors:
        jobs_of.setdefault(error.message, []).append(job_id)
    lines = [
        f"{job_ids[0] if len(job_ids) == 1 else f'{len(job_ids)} jobs'}: {message}"
        for message, job_ids in list(jobs_of.items())[:CAUSES]
    ]
    if others := sum(len(job_ids) for job_ids in list(jobs_of.values())[CAUSES:]):
        lines.append(f"{others} more for other reasons.")
    first = errors[0][1]
    return MilepostError(first.code, "\n".join(lines), first.remedy)


def _changed(row: JobRow) -> MilepostError:
    return MilepostError(
        Code.NOT_ALLOWED,
        f"{row.id} is not {row.state.value.lower()} any more, as it was when you were asked.",
        "Look at it, and press the key again if you still mean it.",
    )
