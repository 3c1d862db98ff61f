"""Start a pair's server: as a system user of its own, or, among people who trust each other, not.

Each pair has a home that nobody else can open, and bounds on memory, processes and files. Its
server answers at a socket that the hub makes and hands over, in a folder closed to all pairs: so
nobody else can answer in its place, or reach it but through the hub.
"""

import os
import resource
import socket
from pathlib import Path
from urllib.parse import quote

from jupyterhub.spawner import LocalProcessSpawner, SimpleLocalProcessSpawner

from reimpl_helpers.hub.service import LISTENER
from reimpl_helpers.hub.users import make_pair_user

GIB = 2**30
YIELDS = 5  # of 19: the hub, the proxy and the board come first where processors are short
QUEUE = 4096  # connections that wait at a socket: a room that comes in at once
BOUNDS = {  # of each process; the processes are of the pair's system user, all together
    resource.RLIMIT_DATA: 3 * GIB,
    resource.RLIMIT_NPROC: 400,  # threads count
    resource.RLIMIT_NOFILE: 4096,
    resource.RLIMIT_FSIZE: 2 * GIB,
    resource.RLIMIT_CORE: 0,
}


def bounded(start):
    """Add the bounds, and a log in the pair's home, to what is done before a server starts."""

    def first():
        for what, most in BOUNDS.items():
            if what != resource.RLIMIT_NPROC or os.geteuid() == 0:  # else it is everybody's
                resource.setrlimit(what, (most, most))
        os.nice(YIELDS)
        start()
        log = os.open("server.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        for said in 1, 2:  # else the hub's own, which a pair could fill
            os.dup2(log, said)

    return first


def url_of(path: Path) -> str:
    """Spell a socket's path as JupyterHub and its proxy do."""
    return f"http+unix://{quote(str(path), safe='')}"


class AtSocket(LocalProcessSpawner):
    """Start a server that answers at a socket of the hub's."""

    homes = sockets = Path()

    async def start(self):
        path = self.sockets / str(self.user.id)
        path.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            listener.listen(QUEUE)
            self.popen_kwargs = {"pass_fds": [listener.fileno()]}
            self.environment = {LISTENER: str(listener.fileno())}
            await super().start()
        # else the hub puts a port behind what start returns, and the proxy takes it for the path's
        self.server.connect_url = url_of(path)
        return self.server.connect_url

    def user_env(self, env):
        env = super().user_env(env)
        return {**env, "REIMPL_WORK": f"{env['HOME']}/work"}


class PairSpawner(AtSocket):
    """Start the server of a pair as the pair's system user, which is made where there is none."""

    async def start(self):
        make_pair_user(self.user.name, self.homes / self.user.name)
        return await super().start()

    def make_preexec_fn(self, name):
        return bounded(super().make_preexec_fn(name))


class TrustedSpawner(AtSocket, SimpleLocalProcessSpawner):
    """Start the server of a pair as whoever runs the hub: nothing keeps pairs apart but manners."""

    def make_preexec_fn(self, name):
        self.home_dir = str(self.homes / name)
        return bounded(super().make_preexec_fn(name))

    def user_env(self, env):
        self.home_dir = str(self.homes / self.user.name)
        return super().user_env(env)
