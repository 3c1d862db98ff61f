"""Configure a hub for a workshop, whatever starts its servers: every deployment loads this."""

from pathlib import Path

from jupyterhub import orm

from reimpl_helpers.hub.authenticator import RosterAuthenticator
from reimpl_helpers.hub.roles import BOARD, ENTRANCE, EVERYBODY, PAIRS, account_of, accounts
from reimpl_helpers.hub.roster import read_roster

TEMPLATES = Path(__file__).parent / "templates"


def landing(handler) -> str:
    """Lead people to their pair's notebook, and a facilitator to the board where there is one."""
    if handler.current_user is None:
        return handler.settings["login_url"]
    if pair := handler.authenticator.roster.pair_of(handler.current_user.name):
        return f"{handler.hub.base_url}spawn/{account_of(pair)}"
    if orm.Service.find(handler.db, BOARD):
        return f"{handler.base_url}services/{BOARD}/"
    return f"{handler.hub.base_url}home"


def configure(c, roster: Path, folder: Path, address: str) -> None:
    """Say who may come in, what they may do, and where they are led.

    `folder` keeps the codes, and the sheets of them; `address` is where people reach the hub.

    Raises: RosterError when the roster is not right.
    """
    c.JupyterHub.authenticator_class = RosterAuthenticator
    c.RosterAuthenticator.roster_path = str(roster)
    c.RosterAuthenticator.folder = str(folder)
    c.RosterAuthenticator.address = address
    c.RosterAuthenticator.allow_all = True  # whoever has a code
    c.JupyterHub.load_roles = [*c.JupyterHub.get("load_roles", []), EVERYBODY]
    c.JupyterHub.load_groups = {PAIRS: {"users": accounts(read_roster(roster))}}
    c.JupyterHub.template_paths = [*c.JupyterHub.get("template_paths", []), str(TEMPLATES)]
    c.JupyterHub.default_url = landing
    c.Spawner.default_url = ENTRANCE
