"""Give each person of a roster a code to log in with, and keep only what it takes to know it."""

import hashlib
import hmac
import html
import json
import secrets
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from reimpl_helpers.base.files import replace_files
from reimpl_helpers.hub.roster import Roster

CODES, SHEETS = "codes.json", "sheet-[0-9]*.html"
LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"  # none that are taken for another
LENGTH = 12  # letters: 31 ** 12 codes
FREE = 5  # wrong codes in a row that cost no time
LONGEST_WAIT = 60  # seconds
KEPT = 10_000  # names and addresses whose wrong codes are remembered


def new_code() -> str:
    """Draw a code, in groups of four as a person types it."""
    drawn = "".join(secrets.choice(LETTERS) for _ in range(LENGTH))
    return "-".join(drawn[start : start + 4] for start in range(0, LENGTH, 4))


def digest(code: str, salt: str) -> str:
    letters = "".join(letter for letter in code.casefold() if letter in LETTERS)
    return hashlib.scrypt(letters.encode(), salt=salt.encode(), n=2**12, r=8, p=1).hex()


class Codes:
    """Keep the digests of the codes in a file that only the hub may read."""

    def __init__(self, path: Path):
        self.path = path

    def read(self) -> dict[str, list[str]]:
        try:
            return json.loads(self.path.read_text("utf-8"))
        except FileNotFoundError:
            return {}

    def renewed(self, names: Iterable[str]) -> tuple[dict[str, str], bytes]:
        """Give a code to each who has none, forget those who left.

        Returns the new codes, and what the file is to hold.
        """
        known = self.read()
        kept = {name: known[name] for name in names if name in known}
        given = {name: new_code() for name in names if name not in known}
        for name, code in given.items():
            salt = secrets.token_hex(8)
            kept[name] = [salt, digest(code, salt)]
        return given, json.dumps(kept, ensure_ascii=False, indent=1).encode()

    def code_number(self, name: str) -> str | None:
        """Return what tells somebody's code from the one that they had before: its salt."""
        salt, _ = self.read().get(name, (None, None))
        return salt

    def is_right(self, name: str, code: str) -> bool:
        """Tell whether somebody's code is right; it takes as long for who is not known."""
        salt, kept = self.read().get(name, ["nobody", ""])
        return hmac.compare_digest(digest(code[:100], salt), kept)


class LoginThrottle:
    """Make whoever gives wrong codes wait, longer each time."""

    def __init__(self, now: Callable[[], float] = time.monotonic):
        self.now, self.wrong = now, {}  # how often and when, by name and address

    def wait(self, who: tuple[str, str]) -> float:
        """Say how many seconds are left until these may try again."""
        times, last = self.wrong.get(who, (0, 0.0))
        pause = min(2.0 ** (times - FREE), LONGEST_WAIT) if times >= FREE else 0.0
        return max(0.0, last + pause - self.now())

    def was_wrong(self, who: tuple[str, str]) -> None:
        times, _ = self.wrong.pop(who, (0, 0.0))
        self.wrong[who] = times + 1, self.now()
        while len(self.wrong) > KEPT:
            self.wrong.pop(next(iter(self.wrong)))

    def was_right(self, who: tuple[str, str]) -> None:
        self.wrong.pop(who, None)


CARD = """<li><h2>{name}</h2><p class="pair">{pair}</p>
<p>Open <b>{address}</b></p><p>Name <b>{name}</b></p><p>Code <b class="code">{code}</b></p></li>"""
SHEET = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Codes to hand out</title>
<style>
  body {{ font: 14px/1.5 sans-serif; margin: 1cm; color: #000; background: #fff }}
  ul {{ display: grid; grid-template-columns: 1fr 1fr; gap: 0; padding: 0; list-style: none }}
  li {{ padding: .6cm; border: 1px dashed #767676; margin: -1px 0 0 -1px; break-inside: avoid }}
  h2, p {{ margin: 0; overflow-wrap: anywhere }}
  .code {{ font: 700 17px/1.5 monospace; white-space: nowrap }}
  .pair {{ margin-bottom: .3cm }}
</style>
<p>Print this, cut it along the lines, hand a card to each person. Then delete the file: whoever
reads it can log in as anyone on it.</p>
<ul>
{cards}
</ul>
</html>
"""


def hand_out(folder: Path, roster: Roster, address: str) -> Path | None:
    """Give codes to those of a roster who have none, on a sheet to print; return the sheet."""
    codes = Codes(folder / CODES)
    given, kept = codes.renewed(roster.people)
    if not given:
        replace_files({codes.path: kept}, mode=0o600)
        return None
    numbers = [int(path.stem.removeprefix("sheet-")) for path in folder.glob(SHEETS)]
    path = folder / f"sheet-{max(numbers, default=0) + 1}.html"
    pairs = {name: roster.pair_of(name) for name in given}
    page = sheet(given, pairs, address).encode()
    replace_files({path: page, codes.path: kept}, mode=0o600)  # both, or on a full disk none
    return path


def sheet(codes: dict[str, str], pairs: dict[str, str | None], address: str) -> str:
    """Lay out the codes as cards to cut out; `pairs` holds each one's pair, None to facilitate."""
    cards = (
        CARD.format(
            name=html.escape(name),
            pair=f"Pair {html.escape(pairs[name])}" if pairs[name] else "Facilitator",
            address=html.escape(address),
            code=code,
        )
        for name, code in sorted(codes.items(), key=lambda item: (pairs[item[0]] or "", item[0]))
    )
    return SHEET.format(cards="\n".join(cards))
