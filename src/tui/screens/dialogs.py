"""Questions before something is destroyed. Enter and Esc always leave the job as it is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Button, Input, OptionList, Static
from textual.widgets.option_list import Option

from milepost.common.text import brief
from milepost.tui.clock import clock_of

#: Seconds in which nobody can have read a question: a `y` within them is told to be too soon, and confirms nothing.
_TOO_SOON = 0.3

#: Of both kinds: read with the first of them, not before the first paint.
_STYLE = """
.dialog {
    width: 72; max-width: 95%; height: auto; max-height: 90%;
    background: $surface; border: round $warning; padding: 1 2;
}
.dialog-title { text-style: bold; margin-bottom: 1; width: 100%; }
.dialog-text { margin-bottom: 1; width: 100%; }
#not-yet { display: none; color: $warning; margin-bottom: 1; width: 100%; }
#not-yet.said { display: block; }
.dialog-buttons { height: auto; align-horizontal: right; }
.dialog-buttons Button { margin-left: 2; }
&.narrow .dialog-buttons { layout: vertical; }
&.short .dialog { padding: 0 1; max-height: 100%; overflow-y: auto; }
&.short .dialog-title, &.short .dialog-text, &.short #not-yet { margin-bottom: 0; }
&.short .dialog-buttons { dock: bottom; background: $surface; }
.dialog OptionList { height: auto; max-height: 16; background: $surface; border: none; }
"""


@dataclass(frozen=True)
class Question:
    """`count`: how many jobs a person has to type before it is done; 0: none."""

    title: str
    consequence: str
    do: str
    keep: str
    count: int = 0


class ConfirmDialog(ModalScreen[bool]):
    """True only for a click on the deed or `y`; with a count only after it was typed."""

    DEFAULT_CSS = f"ConfirmDialog {{ {_STYLE} }}"
    AUTO_FOCUS = "#count, #keep"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "keep", "Keep", id="dialog.keep"),
        Binding("y", "do", "Do it", id="dialog.do"),
        Binding("left,right", "app.focus_next", "Other button", show=False, id="dialog.other"),
    ]

    #: On few lines the answers stay in sight, and what is asked can be scrolled.
    VERTICAL_BREAKPOINTS: list[tuple[int, str]] | None = [(0, "short"), (15, "tall")]  # noqa: RUF012 - as Screen
    #: Where there is no room for both answers side by side.
    HORIZONTAL_BREAKPOINTS: list[tuple[int, str]] | None = [(0, "narrow"), (60, "wide")]  # noqa: RUF012 - as Screen

    def __init__(self, question: Question) -> None:
        super().__init__()
        self.question = question
        self._shown = 0.0
        self._not_yet = Static(id="not-yet", markup=False)

    def compose(self) -> ComposeResult:
        question = self.question
        with Vertical(classes="dialog"):
            yield Static(brief(question.title), classes="dialog-title", markup=False)
            yield Static(brief(question.consequence), classes="dialog-text", markup=False)
            yield self._not_yet
            if question.count:
                yield Static(f"Type {question.count} and press Enter:", markup=False)
                yield Input(id="count", compact=True, restrict=r"[0-9]*", max_length=9)
            with Horizontal(classes="dialog-buttons"):
                yield Button(question.keep, id="keep", compact=True)
                if not question.count:
                    yield Button(f"{question.do} (y)", id="do", variant="error", compact=True)

    def on_mount(self) -> None:
        self._shown = clock_of(self).monotonic()

    def answered_too_soon(self) -> None:
        """A `y` is not lost without a word; but what destroys something is not done before it could be read."""
        if not self.question.count:
            self._say_not_yet("That y came before this could be read: press y again.")

    def _say_not_yet(self, why: str) -> None:
        self._not_yet.update(why)
        self._not_yet.add_class("said")

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002 - as Textual calls it
        return not (action == "do" and self.question.count)

    def action_keep(self) -> None:
        self.dismiss(False)

    def action_do(self) -> None:
        if clock_of(self).monotonic() - self._shown >= _TOO_SOON:
            self.dismiss(True)
        else:
            self.answered_too_soon()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        self.dismiss(event.button.id == "do")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Nothing typed keeps the jobs, as Enter always does; another number is a slip, and asked for again."""
        count = str(self.question.count)
        if event.value in ("", count):
            self.dismiss(event.value == count)
        else:
            self._say_not_yet(f"That was {event.value}, not {count}.")
            event.input.clear()


@dataclass(frozen=True)
class Choice:
    """`effect`: what it would do, in words."""

    id: str
    label: str
    effect: str = ""


class ChoiceDialog(ModalScreen[str]):
    """One of several; the first line keeps things as they are, and so do Enter on it and Esc ("")."""

    DEFAULT_CSS = f"ChoiceDialog {{ {_STYLE} }}"
    AUTO_FOCUS = "OptionList"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "keep", "Keep", id="dialog.keep"),
        Binding("j", "down", "Down", show=False, id="dialog.down"),
        Binding("k", "up", "Up", show=False, id="dialog.up"),
    ]

    def __init__(self, title: str, keep: str, choices: Sequence[Choice]) -> None:
        super().__init__()
        self.title_text = title
        self.keep = keep
        self.choices = choices

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(brief(self.title_text), classes="dialog-title", markup=False)
            lines = [self.keep, *(_option_text(choice) for choice in self.choices)]
            options = OptionList(*map(Option, lines), markup=False, compact=True)
            options.highlighted = 0
            yield options

    def action_keep(self) -> None:
        self.dismiss("")

    def action_down(self) -> None:
        self.query_one(OptionList).action_cursor_down()

    def action_up(self) -> None:
        self.query_one(OptionList).action_cursor_up()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        line = event.option_index
        self.dismiss(self.choices[line - 1].id if line else "")


def _option_text(choice: Choice) -> str:
    return brief(f"{choice.label}: {choice.effect}" if choice.effect else choice.label)
