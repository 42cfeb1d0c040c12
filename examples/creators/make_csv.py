"""Makes creators.csv: 313 rows with the dirt of real files, the same ones every time.

A byte order mark, CRLF line ends, quoted commas, quotes and newlines in fields, names that are not ASCII, handles with
stray blanks, an @ or other capitals, handles that come twice, rows without one, and blank lines, which are no rows.
"""

import csv
import io
import random
import unicodedata
from pathlib import Path

COLUMNS = ("handle", "name", "platform", "followers", "bio")
ROWS = 313
WITHOUT_HANDLE = 9
DUPLICATES = 21
BLANK_LINES = 7

FIRST_NAMES = (
    "Zoë", "José", "Anaïs", "Łukasz", "Søren", "Chloé", "Nuño", "İpek", "Björk", "Ada", "Grace", "Alan", "Edsger",
    "Barbara", "Ken", "Radia", "Linus", "Margaret", "Yuki", "Priya", "Kwame", "Ngozi", "Mei", "Olga", "Tariq", "Ines",
)  # fmt: skip
LAST_NAMES = (
    "Müller", "Nowak", "García", "O'Neill", "Øvergård", "Dvořák", "Çelik", "Smith", "Okafor", "Tanaka", "Ivanova",
    "Haddad", "Silva", "Larsen", "Kowalski", "Nguyen", "Rossi", "Papadopoulos", "Björnsdóttir", "Mensah",
)  # fmt: skip
FULL_NAMES_IN_OTHER_SCRIPTS = ("山田 花子", "Ольга Иванова", "محمد علي", "김민준", "Ελένη Παππά")
PLATFORMS = ("instagram", "youtube", "tiktok", "twitch")
BIOS = (
    "travel",
    "food, wine, and everything between",
    'they call me "the knife"',
    "recipes\nreviews\nrants",
    "🎸 covers, originals; bookings: DM",
    "design, code & coffee",
    "",
    "line one\r\nline two, with a comma",
    "maker of things; breaker of things",
    "books 📚",
)
#: Handles that are not ASCII, as some platforms allow.
UNUSUAL_HANDLES = ("zoë.k", "café_крем", "東京散歩")


def ascii_handle(name: str, number: int) -> str:
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    words = "".join(letter if letter.isalnum() else " " for letter in plain).split()
    return f"{'.'.join(words) or 'creator'}{number}"


def creator(draw: random.Random, number: int) -> dict[str, str]:
    name = f"{draw.choice(FIRST_NAMES)} {draw.choice(LAST_NAMES)}"
    if number % 40 == 7:
        name = FULL_NAMES_IN_OTHER_SCRIPTS[number // 40 % len(FULL_NAMES_IN_OTHER_SCRIPTS)]
    handle = ascii_handle(name, number)
    if number % 90 == 33:
        handle = UNUSUAL_HANDLES[number // 90 % len(UNUSUAL_HANDLES)]
    followers = int(draw.lognormvariate(9, 1.5))
    return {
        "handle": handle,
        "name": name,
        "platform": draw.choice(PLATFORMS),
        "followers": draw.choice([f"{followers}", f"{followers}", f"{followers:,}", ""]),
        "bio": draw.choice(BIOS),
    }


def as_typed(draw: random.Random, handle: str) -> str:
    """The handle as people type it: one in eight carries something that does not belong to it."""
    return draw.choice([f" {handle}", f"{handle} ", f"@{handle}", handle.upper()] + [handle] * 28)


def rows(draw: random.Random) -> list[dict[str, str]]:
    unique = [creator(draw, number) for number in range(ROWS - WITHOUT_HANDLE - DUPLICATES)]
    made = [{**row, "handle": as_typed(draw, row["handle"])} for row in unique]
    for number in range(WITHOUT_HANDLE):
        made.insert(draw.randrange(8, len(made)), {**creator(draw, 1000 + number), "handle": draw.choice(["", "  "])})
    for row in draw.sample(unique, DUPLICATES):
        first = next(at for at, other in enumerate(made) if row["handle"] in other["handle"].lower())
        made.insert(draw.randrange(first + 1, len(made) + 1), {**row, "bio": "same person, second export"})
    return made


def csv_text(draw: random.Random) -> str:
    made = rows(draw)
    blank_after = set(draw.sample(range(len(made)), BLANK_LINES))
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS)
    writer.writeheader()
    for at, row in enumerate(made):
        writer.writerow(row)
        if at in blank_after:
            text.write("\r\n")
    return text.getvalue()


if __name__ == "__main__":
    Path(__file__).with_name("creators.csv").write_bytes(csv_text(random.Random(313)).encode("utf-8-sig"))
