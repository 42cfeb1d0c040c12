"""Text of others in the run's log, on one line and without control characters."""

MAX_QUOTED = 500


def printable(text: str) -> str:
    """Lines and runs of blanks become one blank each."""
    words = " ".join(text[:MAX_QUOTED].split())
    return "".join(character if character.isprintable() else "?" for character in words)
