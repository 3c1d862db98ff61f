"""Configure JupyterHub: what `reimpl hub` starts it with."""

import os
import sys
from functools import partial
from pathlib import Path
from subprocess import Popen

from jupyterhub import proxy
from tornado import httpserver, netutil
from traitlets.config import get_config

from reimpl_helpers.base.network import HERE
from reimpl_helpers.hub import spawner
from reimpl_helpers.hub.ports import held_ports, port_of
from reimpl_helpers.hub.roles import BOARD, CULLER, CULLING, PAIRS
from reimpl_helpers.hub.service import watch_parent
from reimpl_helpers.hub.shared_config import configure
from reimpl_helpers.hub.state import HOMES, LOGS, PROXY_IS, SOCKETS
from reimpl_helpers.hub.users import BOARD_USER

STATE = Path(os.environ["REIMPL_HUB"])
URL = os.environ["REIMPL_HUB_URL"]
HUB = STATE / SOCKETS / "hub"
IDLE = 3600  # seconds without a browser or a running cell after which a server is stopped
STARTS = 60  # seconds that a server may take until it answers: twenty start at once

watch_parent(lambda: os._exit(1))  # as if it was killed, too: the guard ends what is left

c = get_config()
roster = Path(os.environ["REIMPL_HUB_ROSTER"])
configure(c, roster, STATE, URL)

c.JupyterHub.bind_url = URL
c.JupyterHub.db_url = f"sqlite:///{STATE / 'hub.sqlite'}"
c.JupyterHub.cookie_secret_file = str(STATE / "cookie_secret")
c.JupyterHub.load_roles.append(CULLING)
c.JupyterHub.cookie_max_age_days = 1  # who hears one may use it as long
c.JupyterHub.concurrent_spawn_limit = 0  # the whole room comes in at once


def module(name: str, *arguments) -> list[str]:
    """Say how a module is run, whatever lies in the folder it is run from."""
    return [sys.executable, "-P", "-m", name, *map(str, arguments)]


public, board, *_ = held = held_ports()

is_root = os.geteuid() == 0
c.JupyterHub.services = [
    {"name": CULLER, "command": module("reimpl_helpers.hub.culler", HUB, f"--timeout={IDLE}")},
    {
        "name": "collector",
        "command": module("reimpl_helpers.hub.collector", STATE / HOMES, STATE / LOGS, roster),
    },
    {
        "name": "confirmer",
        "command": module("reimpl_helpers.hub.confirmer", STATE / HOMES, STATE / LOGS),
    },
    {
        "name": BOARD,
        "command": module(
            "reimpl_helpers.hub.board", STATE / LOGS, *([BOARD_USER] if is_root else [])
        ),
        "url": f"http://{HERE}:{port_of(board)}",
        "oauth_no_confirm": True,
    },
]
if is_root:
    ports = map(port_of, (public, board))
    guard = {"name": "guard", "command": module("reimpl_helpers.hub.guard", STATE, *ports)}
    c.JupyterHub.services.append(guard)

# What anybody may send to the hub is small, and is not waited for long; the library takes 100 MB.
httpserver.HTTPServer = partial(
    httpserver.HTTPServer, max_body_size=2**20, body_timeout=30, idle_connection_timeout=60
)
# Who finds a queue full at a port waits, at a socket is refused; the library's holds 128.
netutil.bind_unix_socket = partial(netutil.bind_unix_socket, backlog=spawner.QUEUE)
c.JupyterHub.hub_bind_url = c.JupyterHub.hub_connect_url = spawner.url_of(HUB)
c.JupyterHub.hub_socket_mode = 0o666 if is_root else 0o600  # pairs' servers ask the hub
c.ConfigurableHTTPProxy.api_url = spawner.url_of(STATE / SOCKETS / "proxy")
os.environ["REIMPL_PUBLIC"] = str(public)
proxy.Popen = partial(Popen, pass_fds=held)
mend = Path(__file__).with_name("proxy.js")
c.ConfigurableHTTPProxy.command = ["node", "--require", str(mend), os.environ["REIMPL_HUB_PROXY"]]
c.ConfigurableHTTPProxy.log_level = "error"
c.JupyterHub.cleanup_proxy = False  # it ends last, when no pair is left to take its port
c.ConfigurableHTTPProxy.pid_file = str(STATE / PROXY_IS)

chosen = spawner.PairSpawner if is_root else spawner.TrustedSpawner
chosen.homes, chosen.sockets = STATE / HOMES, STATE / SOCKETS / PAIRS
c.JupyterHub.spawner_class = chosen
c.Spawner.env_keep = ["LANG", "LC_ALL", "PATH"]
c.Spawner.http_timeout = c.Spawner.start_timeout = STARTS
c.LocalProcessSpawner.interrupt_timeout = 8
c.LocalProcessSpawner.term_timeout = 4
