"""Text of others in the run's log, on one line and without control characters."""

MAX_QUOTED = 500


def printable(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text[:MAX_QUOTED])
