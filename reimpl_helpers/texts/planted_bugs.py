"""Planted bugs: plausible mistakes in a piece, each made by an edit of the solution's source.

One list serves three uses: it names the suspect when an answer equals a known mistake, it scores
the pair's own tests, and it tests the checks.
"""

import tomllib
from dataclasses import dataclass
from pathlib import Path

from reimpl_helpers.base.errors import WorkbookError
from reimpl_helpers.base.words import shorten
from reimpl_helpers.texts import package

EDIT = {"old", "new"}
PARTS = {"name", "why", "question", "hint", *EDIT}


@dataclass(frozen=True)
class Bug:
    """A plausible mistake in a piece, and the edit of the solution's source that makes it.

    `why` says why people make it. `question` names it to a pair whose answer equals it, never the
    mend. `hint` is the shortest way to a test that would catch it. Where the piece reads otherwise
    before its port to JAX, `before_port` is the edit of that version.
    """

    piece: str
    name: str
    old: str
    new: str
    why: str
    question: str
    hint: str
    before_port: tuple[str, str] | None = None

    def plant(self, text: str, in_jax: bool = True) -> str:
        """Make the mistake in the text of the solution's module.

        Raises: ValueError when the edit does not apply exactly once.
        """
        old, new = (self.old, self.new) if in_jax else self.before_port or (self.old, self.new)
        first, last = package.find_definition(text, self.piece) or (1, 0)
        lines = package.lines_of(text)
        definition = "".join(lines[first - 1 : last])
        if definition.count(old) != 1:
            raise ValueError(
                f"planted bug “{self.name}”: {old!r} stands {definition.count(old)} times in "
                f"{self.piece}, expected once. Mend the edit in planted_bugs.toml."
            )
        return "".join([*lines[: first - 1], definition.replace(old, new), *lines[last:]])


def read_bugs(path: Path) -> list[Bug]:
    """Read the planted bugs of a track from its planted_bugs.toml, piece by piece.

    Raises: WorkbookError when it cannot be read, is not TOML, or a bug lacks a part, has one that
    is unknown, or one that is no text.
    """
    try:
        pieces = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise WorkbookError(
            f"{path} cannot be read ({error.strerror}). Put it back, or allow reading it."
        ) from error
    except ValueError as error:
        raise WorkbookError(f"{path} is not TOML: {error}. Mend it there.") from error
    for piece, bugs in pieces.items():
        if not isinstance(bugs, list):
            raise WorkbookError(
                f"{path}: {piece} is {shorten(bugs)}, expected planted bugs, each under "
                f"[[{piece}]]."
            )
    return [bug_of(piece, parts, path) for piece, bugs in pieces.items() for parts in bugs]


def bug_of(piece: str, parts: object, path: Path) -> Bug:
    """Make a planted bug of a piece from its parts.

    Raises: WorkbookError when they are not those of a planted bug.
    """
    try:
        early = parts.get("before_port") if isinstance(parts, dict) else None
        if early is not None:
            parts = {name: part for name, part in parts.items() if name != "before_port"}
            refuse_other_parts(early, EDIT, "its before_port ")
        refuse_other_parts(parts, PARTS)
    except ValueError as error:
        name = parts.get("name", "without a name") if isinstance(parts, dict) else "no parts"
        raise WorkbookError(
            f"{path}: a planted bug of {piece} (“{name}”) is none: {error}. Give it the parts that "
            f"its neighbours have, each a text, under [[{piece}]]."
        ) from error
    return Bug(piece, **parts, before_port=early and (early["old"], early["new"]))


def refuse_other_parts(parts: object, expected: set[str], whose: str = "") -> None:
    """Raise a ValueError where these are not exactly the parts expected, each a text."""
    if not isinstance(parts, dict):
        raise ValueError(f"{whose or 'it '}is {shorten(parts)}, expected parts with names")
    wrong = [f"{name} is missing" for name in sorted(expected - parts.keys())]
    wrong += [f"{name} is unknown" for name in sorted(parts.keys() - expected)]
    wrong += [
        f"{name} is {shorten(parts[name])}"
        for name in sorted(expected & parts.keys())
        if not isinstance(parts[name], str)
    ]
    if wrong:
        raise ValueError(f"{whose}{' and '.join(wrong)}")
