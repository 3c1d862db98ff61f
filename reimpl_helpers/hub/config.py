"""Configure JupyterHub: what `reimpl hub` starts it with."""

import os
import sys
from pathlib import Path

from traitlets.config import get_config

from reimpl_helpers.hub import spawner
from reimpl_helpers.hub.authenticator import RosterAuthenticator
from reimpl_helpers.hub.roles import PAIRS, SERVICE_ROLES, account_of, accounts
from reimpl_helpers.hub.roster import read_roster
from reimpl_helpers.hub.server import ENTRANCE
from reimpl_helpers.workbook import COMPILATION_CACHE

HERE, STATE = Path(__file__).parent, Path(os.environ["REIMPL_HUB"])
IDLE = 3600  # seconds without a browser or a running cell after which a server is stopped
STARTS = 60  # seconds that a server may take until it answers: twenty start at once


def landing(handler) -> str:
    """Lead people to their pair's notebook, and a facilitator to the board."""
    name = handler.current_user.name if handler.current_user else ""
    if pair := handler.authenticator.roster.pair_of(name):
        return f"{handler.hub.base_url}spawn/{account_of(pair)}"
    return f"{handler.base_url}services/board/"


c = get_config()
roster = Path(os.environ["REIMPL_HUB_ROSTER"])

c.JupyterHub.bind_url = os.environ["REIMPL_HUB_URL"]
c.JupyterHub.db_url = f"sqlite:///{STATE / 'hub.sqlite'}"
c.JupyterHub.cookie_secret_file = str(STATE / "cookie_secret")
c.JupyterHub.template_paths = [str(HERE / "templates")]
c.JupyterHub.default_url = landing
c.JupyterHub.load_roles = SERVICE_ROLES
c.JupyterHub.load_groups = {PAIRS: {"users": accounts(read_roster(roster))}}
c.JupyterHub.active_server_limit = 0
c.JupyterHub.concurrent_spawn_limit = 0
c.JupyterHub.log_level = "WARN"

c.ConfigurableHTTPProxy.command = [os.environ["REIMPL_HUB_PROXY"]]
c.ConfigurableHTTPProxy.pid_file = str(STATE / "proxy.pid")

c.JupyterHub.authenticator_class = RosterAuthenticator
c.RosterAuthenticator.roster_path = str(roster)
c.RosterAuthenticator.folder = str(STATE)
c.RosterAuthenticator.address = os.environ["REIMPL_HUB_URL"]

chosen = spawner.PairSpawner if os.geteuid() == 0 else spawner.TrustedSpawner
chosen.homes = STATE / "homes"
c.JupyterHub.spawner_class = chosen
c.Spawner.cmd = [sys.executable, "-P", "-m", "reimpl_helpers.hub.server"]
c.Spawner.default_url = ENTRANCE
c.Spawner.env_keep = ["LANG", "LC_ALL", "PATH"]
c.Spawner.environment = COMPILATION_CACHE
c.Spawner.http_timeout = c.Spawner.start_timeout = STARTS
c.LocalProcessSpawner.interrupt_timeout = 8
c.LocalProcessSpawner.term_timeout = 4
