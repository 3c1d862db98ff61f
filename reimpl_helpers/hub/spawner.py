"""Start a pair's server: as a system user of its own, or, among people who trust each other, not.

Each pair has a home that nobody else can open, and bounds on memory, processes and files. Its
server answers at a socket that the hub makes and hands over, in a folder closed to all pairs: so
nobody else can answer in its place, or reach it but through the hub.
"""

import socket
import sys
from pathlib import Path
from urllib.parse import quote

from jupyterhub.spawner import LocalProcessSpawner

from reimpl_helpers.hub.service import LISTENER
from reimpl_helpers.hub.users import make_pair_user

QUEUE = 4096  # connections that wait at a socket: a room that comes in at once


def url_of(path: Path) -> str:
    """Spell a socket's path as JupyterHub and its proxy do."""
    return f"http+unix://{quote(str(path), safe='')}"


class TrustedSpawner(LocalProcessSpawner):
    """Start the server of a pair as whoever runs the hub: nothing keeps pairs apart but manners."""

    homes = sockets = Path()

    async def start(self):
        path = self.sockets / str(self.user.id)
        path.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            listener.listen(QUEUE)
            self.popen_kwargs = {"pass_fds": [listener.fileno()]}
            # isolated, as it begins as root: it reads nothing of the pair's home
            self.cmd = [sys.executable, "-I", "-m", "reimpl_helpers.hub.launch", self.user.name]
            self.environment = {LISTENER: str(listener.fileno())}
            await super().start()
        # else the hub puts a port behind what start returns, and the proxy takes it for the path's
        self.server.connect_url = url_of(path)
        return self.server.connect_url

    def make_preexec_fn(self, name):
        return None  # whatever is done before a process begins, the whole hub waits for

    def load_state(self, state):
        """Know nothing of what an earlier hub started: it has ended, its numbers are others'."""

    def user_env(self, env):
        home = self.homes / self.user.name
        env |= {"USER": self.user.name, "HOME": str(home), "SHELL": "/bin/bash"}
        return env | {"REIMPL_WORK": str(home / "work")}


class PairSpawner(TrustedSpawner):
    """Start the server of a pair as the pair's system user, which is made where there is none."""

    async def start(self):
        make_pair_user(self.user.name, self.homes / self.user.name)
        return await super().start()
