"""Configure JupyterHub: what `reimpl hub` starts it with."""

import os
import sys
from pathlib import Path
from urllib.parse import urlparse

from traitlets.config import get_config

from reimpl_helpers.hub import spawner
from reimpl_helpers.hub.roles import BOARD, CULLER, CULLING
from reimpl_helpers.hub.shared_config import configure
from reimpl_helpers.hub.start import HOMES, LOGS, PROXY_IS
from reimpl_helpers.hub.users import BOARD_USER

STATE = Path(os.environ["REIMPL_HUB"])
URL = os.environ["REIMPL_HUB_URL"]
PORT = urlparse(URL).port  # the next three are the proxy's, the hub's own, the board's
IDLE = 3600  # seconds without a browser or a running cell after which a server is stopped
STARTS = 60  # seconds that a server may take until it answers: twenty start at once

c = get_config()
roster = Path(os.environ["REIMPL_HUB_ROSTER"])
configure(c, roster, STATE, URL)

c.JupyterHub.bind_url = URL
c.JupyterHub.db_url = f"sqlite:///{STATE / 'hub.sqlite'}"
c.JupyterHub.cookie_secret_file = str(STATE / "cookie_secret")
c.JupyterHub.load_roles.append(CULLING)
c.JupyterHub.concurrent_spawn_limit = 0  # the whole room comes in at once


def module(name: str, *arguments) -> list[str]:
    """Say how a module is run, whatever lies in the folder it is run from."""
    return [sys.executable, "-P", "-m", name, *map(str, arguments)]


is_root = os.geteuid() == 0
c.JupyterHub.services = [
    {"name": CULLER, "command": module("jupyterhub_idle_culler", f"--timeout={IDLE}")},
    {
        "name": "collector",
        "command": module("reimpl_helpers.hub.collector", STATE / HOMES, STATE / LOGS, roster),
    },
    {"name": "confirmer", "command": module("reimpl_helpers.hub.confirmer", STATE / LOGS)},
    {
        "name": BOARD,
        "command": module("reimpl_helpers.hub.board", STATE / LOGS),
        "url": f"http://127.0.0.1:{PORT + 3}",
        "oauth_no_confirm": True,
        "user": BOARD_USER if is_root else "",
    },
]
if is_root:
    keeper = {"name": "keeper", "command": module("reimpl_helpers.hub.keeper")}
    c.JupyterHub.services.append(keeper)

c.JupyterHub.hub_port = PORT + 2
c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{PORT + 1}"
c.ConfigurableHTTPProxy.command = os.environ["REIMPL_HUB_PROXY"]
c.ConfigurableHTTPProxy.log_level = "error"
c.ConfigurableHTTPProxy.pid_file = str(STATE / PROXY_IS)

chosen = spawner.PairSpawner if is_root else spawner.TrustedSpawner
chosen.homes = STATE / HOMES
c.JupyterHub.spawner_class = chosen
c.Spawner.cmd = module("reimpl_helpers.hub.server")
c.Spawner.env_keep = ["LANG", "LC_ALL", "PATH"]
c.Spawner.http_timeout = c.Spawner.start_timeout = STARTS
c.LocalProcessSpawner.interrupt_timeout = 8
c.LocalProcessSpawner.term_timeout = 4
