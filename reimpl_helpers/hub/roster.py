"""Read the roster of a workshop: who is in which pair, and who facilitates."""

import csv
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from reimpl_helpers.base.people import LONGEST_NAME, Person, is_name

COLUMNS = "name", "pair"
FACILITATOR = "facilitator"  # stands in the column of the pair
ACCOUNT = "pair-"  # what the name of a pair's account, and of its system user, begins with
LARGEST = 3  # people in a pair
PAIR = re.compile(r"[a-z0-9]([a-z0-9-]{0,18}[a-z0-9])?")  # becomes a system user and an address


class RosterError(Exception):
    """Say what is wrong with a roster, where, and what to do."""


@dataclass(frozen=True)
class Roster:
    """Who is in which pair, as it stands in the file."""

    pairs: dict[str, tuple[str, ...]]  # the names in each, in the order of the file
    facilitators: tuple[str, ...]

    @property
    def people(self) -> list[str]:
        """Name everybody who may log in."""
        return [name for names in self.pairs.values() for name in names] + list(self.facilitators)

    def spelt(self, typed: str) -> str | None:
        """Find the name that somebody typed, whatever its capitals and spaces; None if none is."""
        if len(typed) > 4 * LONGEST_NAME:  # to fold marks upon marks takes a while
            return None
        wanted = folded(typed)
        return next((name for name in self.people if folded(name) == wanted), None)

    def pair_of(self, name: str) -> str | None:
        """Find somebody's pair; None for a facilitator."""
        return next((pair for pair, names in self.pairs.items() if name in names), None)

    def person(self, name: str) -> Person:
        """Say how somebody is shown in their pair's notebook."""
        names = self.pairs.get(self.pair_of(name), ())
        return Person(name, names.index(name) if name in names else len(names))


def folded(name: str) -> str:
    """Spell a name as all do who mean the same, whatever their keyboard makes of an é."""
    return " ".join(unicodedata.normalize("NFKC", name).split()).casefold()


def read_roster(path: Path) -> Roster:
    """Read a roster: a table with the columns name and pair, as a spreadsheet saves it (CSV).

    Raises: RosterError, naming the line, when it is no such table, or when somebody stands in it
    twice, a pair has more than three people, or nobody is facilitator.
    """
    seen, pairs, facilitators = {}, {}, []
    for line, name, pair in rows_of(path):
        at = f"{path.name}, line {line}"
        if not is_name(name) or "/" in name:
            raise RosterError(
                f"{at}: {name[:60]!r} cannot be a name here. Use 1 to {LONGEST_NAME} letters, "
                "without a slash."
            )
        if folded(name).startswith(ACCOUNT):
            raise RosterError(
                f"{at}: {name} cannot be a person's name here, as pairs' accounts begin with "
                f"{ACCOUNT}. Write it another way."
            )
        if folded(name) in seen:
            raise RosterError(
                f"{at}: {name} stands in line {seen[folded(name)]} already. Give each of them a "
                "name of their own, such as one with the first letter of the surname."
            )
        seen[folded(name)] = line
        if pair == FACILITATOR:
            facilitators.append(name)
            continue
        if not PAIR.fullmatch(pair):
            raise RosterError(
                f"{at}: {pair[:60]!r} cannot be the name of a pair. Use letters, digits and "
                f"hyphens, at most 20, such as 7 or oak; or {FACILITATOR}."
            )
        pairs.setdefault(pair, []).append(name)
        if len(pairs[pair]) > LARGEST:
            raise RosterError(
                f"{at}: {name} is number {len(pairs[pair])} in pair {pair}. Two make a pair, "
                f"{LARGEST} are the most that can take turns. Open another pair."
            )
    if not pairs:
        raise RosterError(f"{path.name} names no pair. Add a line for each person: name,pair.")
    if not facilitators:
        raise RosterError(
            f"{path.name} names no facilitator, so nobody could open the board. Add a line for "
            f"yourself, with {FACILITATOR} for the pair."
        )
    return Roster({pair: tuple(names) for pair, names in pairs.items()}, tuple(facilitators))


def rows_of(path: Path):
    """Yield line, name and pair of each row of a roster that is not empty."""
    try:
        text = path.read_text("utf-8-sig")
    except OSError as error:
        raise RosterError(
            f"{path} cannot be read as a roster: {error.strerror}. Name a table with the columns "
            "name and pair: make hub ROSTER=roster.csv"
        ) from error
    except UnicodeDecodeError as error:
        raise RosterError(
            f"{path.name} is no text in UTF-8. Save it as “CSV UTF-8” in your spreadsheet."
        ) from error
    first = text.partition("\n")[0]
    between = next((sign for sign in ";\t" if sign in first), ",")
    reader = csv.DictReader(text.splitlines(), delimiter=between)
    try:
        heads = [(head or "").strip().casefold() for head in reader.fieldnames or []]
        if not set(COLUMNS) <= set(heads):
            raise RosterError(
                f"{path.name} begins with {first.strip()[:60]!r}, expected a line that names the "
                f"columns: {','.join(COLUMNS)}."
            )
        reader.fieldnames = heads
        for row in reader:
            name, pair = (" ".join((row[column] or "").split()) for column in COLUMNS)
            if name or pair:
                yield reader.line_num, unicodedata.normalize("NFC", name), pair.casefold()
    except csv.Error as error:
        raise RosterError(
            f"{path.name}, up to line {reader.line_num}: what stands between two commas is longer "
            f"than {csv.field_size_limit()} letters, so it is no name. Is a quotation mark open "
            "there? Save the roster as “CSV UTF-8” in your spreadsheet."
        ) from error
