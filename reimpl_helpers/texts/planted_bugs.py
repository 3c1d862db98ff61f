"""Planted bugs: plausible mistakes in a piece, each made by an edit of the solution's source.

One list serves three uses: it names the suspect when an answer equals a known mistake, it scores
the pair's own tests, and it tests the checks.
"""

import tomllib
from dataclasses import dataclass
from pathlib import Path

from reimpl_helpers.base.errors import WorkbookError
from reimpl_helpers.texts import package


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

    Raises: WorkbookError when it is not TOML, or a bug lacks a part or has an unknown one.
    """
    try:
        pieces = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise WorkbookError(f"{path} cannot be read: {error}. Mend it first.") from error
    return [bug_of(piece, parts, path) for piece, bugs in pieces.items() for parts in bugs]


def bug_of(piece, parts, path) -> Bug:
    try:
        early = parts.get("before_port")
        return Bug(piece, **{**parts, "before_port": early and (early["old"], early["new"])})
    except (AttributeError, KeyError, TypeError) as error:
        name = parts.get("name", "without a name") if isinstance(parts, dict) else parts
        raise WorkbookError(
            f"{path}: a planted bug of {piece} (“{name}”) is not one: {type(error).__name__}: "
            f"{error}. Give it the parts that its neighbours have, under [[{piece}]]."
        ) from error
