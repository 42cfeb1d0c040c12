"""Keys: which bindings there are, which of them work now, and what a person made of them in the settings."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from textual.binding import ActiveBinding, Binding
from textual.dom import DOMNode
from textual.keys import KEY_NAME_REPLACEMENTS, Keys, key_to_character
from textual.screen import Screen

from milepost.core.errors import Code, MilepostError

#: What a binding is for, by the part of its id before the dot, in the order of the help.
AREAS: Mapping[str, str] = {
    "command": "Commands for the chosen jobs",
    "jobs": "Jobs",
    "job": "This job",
    "detail": "Detail of a job",
    "items": "Items",
    "grid": "Steps",
    "logs": "Logs",
    "list": "Moving in a list",
    "dialog": "This dialog",
    "help": "This help",
    "app": "Everywhere",
    "": "Fields and focus",
}
#: Areas whose keys work together with those of every other area but dialogs.
_EVERYWHERE = frozenset({"app", "command", "list"})
_ALONE = frozenset({"dialog", "help"})
_NAMES = frozenset({key.value for key in Keys}).union(KEY_NAME_REPLACEMENTS.values())
_MODIFIERS = frozenset({"alt", "ctrl", "hyper", "meta", "shift", "super"})


def area_of(binding_id: str | None) -> str:
    """A newer area of bindings shows under its own name."""
    return (binding_id or "").rpartition(".")[0]


@dataclass(frozen=True)
class BoundKey:
    """One binding that works now. `keys`: as a person presses them, with their settings."""

    keys: tuple[str, ...]
    does: str
    id: str
    active: ActiveBinding


def bound_keys(screen: Screen[object]) -> list[BoundKey]:
    """What every key does on this screen, with its focused widget; each binding once."""
    found: dict[tuple[str, str], list[ActiveBinding]] = {}
    for active in screen.active_bindings.values():
        binding = active.binding
        if binding.description and not binding.system:
            found.setdefault((binding.id or "", binding.action), []).append(active)
    return [
        BoundKey(
            keys=tuple(dict.fromkeys(_display(screen, active.binding) for active in actives)),
            does=actives[0].binding.description,
            id=binding_id,
            active=actives[0],
        )
        for (binding_id, _), actives in found.items()
    ]


def _display(screen: Screen[object], binding: Binding) -> str:
    """Of this very key: `key_display` is one text for all keys of a binding."""
    return screen.app.get_key_display(replace(binding, key_display=None))


# --- as remapped in the settings ---


def keymap(wanted: Mapping[str, str]) -> dict[str, str]:
    """For `App.set_keymap`: by the binding's id its keys, which in the settings are separated by spaces.

    Raises MilepostError(SETTING_INVALID) for an id that is none, a key that is none, or one that already does
    something else where both would work.
    """
    if not wanted:
        return {}
    known = known_bindings()
    for binding_id, keys in wanted.items():
        if binding_id not in known:
            raise _unknown(binding_id, known)
        if not keys.split():
            raise _invalid(f"{binding_id} has no key.", "Name at least one, or take it out of the settings.")
        for key in keys.split():
            if not is_key(key):
                raise _invalid(
                    f"There is no key {key!r} (for {binding_id}).", "Keys are called like P, f5, ctrl+k, space."
                )
    before = {binding_id: frozenset(_keys_of(keys)) for binding_id, keys in known.items()}
    used = before | {binding_id: frozenset(_keys_of(keys)) for binding_id, keys in wanted.items()}
    for binding_id in wanted:
        _check_free(binding_id, used, before)
    return {binding_id: ",".join(keys.split()) for binding_id, keys in wanted.items()}


def is_key(key: str) -> bool:
    """Whether some key could be called so: a character, its Unicode name, or a name like f5 or ctrl+k."""
    *modifiers, last = key.split("+") if len(key) > 1 else [key]
    named = len(last) == 1 or last in _NAMES or key_to_character(last) is not None
    return bool(last) and named and _MODIFIERS.issuperset(modifiers)


@cache
def known_bindings() -> Mapping[str, str]:
    """Of every binding that can be remapped the keys that it has without settings, separated by spaces."""
    known: dict[str, str] = {}
    for kind in _with_bindings():
        for binding in Binding.make_bindings(kind.__dict__.get("BINDINGS", ())):
            if binding.id:
                known[binding.id] = f"{known.get(binding.id, '')} {binding.key}".strip()
    return known


def _with_bindings() -> Iterator[type[DOMNode]]:
    """Everything on a screen that is ours."""
    import milepost.tui.app
    import milepost.tui.screens
    import milepost.tui.widgets

    for package in (milepost.tui.screens, milepost.tui.widgets):
        for module in iter_modules(package.__path__, f"{package.__name__}."):
            import_module(module.name)
    yield from (kind for kind in _kinds_of(DOMNode) if kind.__module__.startswith("milepost.tui."))


def _kinds_of(kind: type[DOMNode]) -> Iterator[type[DOMNode]]:
    for child in kind.__subclasses__():
        yield child
        yield from _kinds_of(child)


def _keys_of(keys: str) -> Iterable[str]:
    """In the one spelling that Textual uses, so that "?" and "question_mark" are the same."""
    for binding in Binding.make_bindings([Binding(",".join(keys.split()), "")]):
        yield binding.key


def _check_free(binding_id: str, used: Mapping[str, frozenset[str]], before: Mapping[str, frozenset[str]]) -> None:
    """What had the same key without settings is meant so: the innermost wins."""
    for other, keys in used.items():
        both = used[binding_id] & keys - (before[binding_id] & before[other])
        if other != binding_id and both and _meet(area_of(binding_id), area_of(other)):
            raise _invalid(
                f"The key {min(both)} is for {other} and cannot be for {binding_id} too.",
                f"Choose another one, or give {other} another key as well.",
            )


def _meet(one: str, other: str) -> bool:
    """Whether bindings of these areas work at the same time."""
    if one in _ALONE or other in _ALONE:
        return one == other
    return one == other or bool(_EVERYWHERE.intersection((one, other)))


def _unknown(binding_id: str, known: Iterable[str]) -> MilepostError:
    names = sorted(known)
    near = get_close_matches(binding_id, names, n=3)
    near = near or [name for name in names if area_of(name) == area_of(binding_id)]
    if near:
        remedy = f"Did you mean {', '.join(near)}?"
    else:
        remedy = f"They begin with {', '.join(dict.fromkeys(f'{area_of(name)}.' for name in names))}."
    return _invalid(f"The terminal UI has no binding {binding_id!r}.", f"{remedy} Its help (?) shows all.")


def _invalid(message: str, remedy: str) -> MilepostError:
    return MilepostError(Code.SETTING_INVALID, f"In the setting keys: {message}", remedy, {"setting": "keys"})
