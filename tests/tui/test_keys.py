"""Keys that a person chose for themselves."""

import pytest

from milepost.core.errors import Code, MilepostError
from milepost.tui.keys import AREAS, area_of, is_key, keymap, known_bindings
from milepost.tui.parts import Hints, hints
from milepost.tui.status import UNICODE
from milepost.tui.theme import THEMES, default_variables, make_look


def refusal(wanted: dict[str, str]) -> MilepostError:
    with pytest.raises(MilepostError) as raised:
        keymap(wanted)
    assert raised.value.code is Code.SETTING_INVALID
    return raised.value


def test_every_binding_has_an_area_that_the_help_knows() -> None:
    assert {area_of(binding_id) for binding_id in known_bindings()} <= AREAS.keys()


def test_a_binding_gets_other_keys() -> None:
    assert keymap({"command.pause": "P", "list.down": "j f5"}) == {"command.pause": "P", "list.down": "j,f5"}
    assert keymap({}) == {}


def test_keys_may_change_places() -> None:
    assert keymap({"command.pause": "x", "command.cancel": "p"}) == {"command.pause": "x", "command.cancel": "p"}


def test_a_binding_may_keep_its_key() -> None:
    assert all(keymap({binding_id: keys}) for binding_id, keys in known_bindings().items())


def test_an_unknown_binding_is_told_with_those_near_it() -> None:
    assert "command.pause" in refusal({"command.paus": "P"}).remedy
    assert "list.down" in refusal({"list.zzzzzzzz": "P"}).remedy
    assert "command." in refusal({"qqqq": "P"}).remedy


def test_a_binding_without_a_key_is_refused() -> None:
    assert "jobs.filter has no key" in refusal({"jobs.filter": " "}).message


@pytest.mark.parametrize(
    ("binding_id", "key", "taken_by"),
    [
        ("command.pause", "j", "list.down"),
        ("jobs.filter", "?", "app.help"),
        ("dialog.do", "escape", "dialog.keep"),
    ],
)
def test_a_key_that_does_something_else_at_the_same_time_is_refused(binding_id: str, key: str, taken_by: str) -> None:
    assert taken_by in refusal({binding_id: key}).message


def test_dialogs_have_their_keys_to_themselves() -> None:
    assert keymap({"dialog.do": "p"}) == {"dialog.do": "p"}


@pytest.mark.parametrize("key", ["P", "é", "?", "question_mark", "f12", "ctrl+k", "shift+tab", "pagedown", "plus"])
def test_what_is_a_key(key: str) -> None:
    assert is_key(key)


@pytest.mark.parametrize("key", ["ctrl-p", "F13x", "hyperspace", "ctrl+", "contrl+k", ""])
def test_what_is_no_key(key: str) -> None:
    assert not is_key(key)


def test_hints_are_of_bindings_that_there_are() -> None:
    shown = {hint for which in Hints for hint in which.value}
    named = {binding: key for hint in shown for binding, key in zip(hint.bindings, hint.keys, strict=True)}
    assert all(keymap({binding: key}) for binding, key in named.items())
    assert all(key in {*known_bindings()[binding].split(), *"/!:?[]", "esc"} for binding, key in named.items())


def test_hints_show_keys_as_remapped() -> None:
    colours = {**default_variables(THEMES[0]), "foreground": "white", "accent": "cyan"}
    look = make_look(UNICODE, tuple(colours.items()), few_colours=False)
    remapped = {"jobs.filter": "ctrl+f f3", "list.up": "i"}
    shown = "".join(part.text for part in hints(Hints.LIST, remapped, look, 100))
    assert " j/i move " in shown
    assert " ctrl+f filter " in shown
