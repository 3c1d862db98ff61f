"""Say who is who: the names in a session, their colours, and where each one's window stands."""

import re
import secrets
from dataclasses import dataclass, field

LONGEST_NAME = 40
COLORS = [f"var(--jp-collaborator-color{number})" for number in (1, 5, 3)]


def is_name(name: str) -> bool:
    """Tell whether a name can be shown to others."""
    return name.isprintable() and 0 < len(name) <= LONGEST_NAME


@dataclass(frozen=True)
class Person:
    """One of those who share a session, with the key to the session that names them."""

    name: str
    place: int
    token: str = field(default_factory=lambda: secrets.token_hex(24), repr=False)

    @property
    def workspace(self) -> str:
        """Name the window layout: what a link may hold of the name, and the place."""
        letters = re.sub(r"[^A-Za-z0-9]+", "-", self.name).strip("-").lower()
        return f"{letters or 'person'}-{self.place + 1}"

    @property
    def identity(self) -> dict[str, str]:
        """Say what Jupyter shows of a person."""
        initials = "".join(word[0] for word in self.name.split()[:2]).upper()
        return {
            "username": self.workspace,
            "name": self.name,
            "display_name": self.name,
            "initials": initials,
            "color": COLORS[self.place % len(COLORS)],
        }

    def path_to(self, notebook: str) -> str:
        """Say where a notebook opens in the person's own window layout."""
        return f"/lab/workspaces/{self.workspace}/tree/{notebook}?reset"
