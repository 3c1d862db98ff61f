"""Start a pair's server: as a system user of its own, or, among people who trust each other, not.

Each pair has a home that nobody else can open, and bounds on memory, processes and files.
"""

import os
import resource
from pathlib import Path

from jupyterhub.spawner import LocalProcessSpawner, SimpleLocalProcessSpawner

from reimpl_helpers.hub.users import make_pair_user

GIB = 2**30
BOUNDS = {  # of each process; the processes are of the pair's system user, all together
    resource.RLIMIT_DATA: 3 * GIB,
    resource.RLIMIT_NPROC: 400,  # threads count
    resource.RLIMIT_NOFILE: 4096,
    resource.RLIMIT_FSIZE: 2 * GIB,
    resource.RLIMIT_CORE: 0,
}


def bounded(start):
    """Add the bounds to what is done in a new process before it becomes the server."""

    def first():
        for what, most in BOUNDS.items():
            if what != resource.RLIMIT_NPROC or os.geteuid() == 0:  # else it is everybody's
                resource.setrlimit(what, (most, most))
        start()

    return first


class PairSpawner(LocalProcessSpawner):
    """Start the server of a pair as the pair's system user, which is made where there is none."""

    homes = Path("homes")

    async def start(self):
        make_pair_user(self.user.name, self.homes / self.user.name)
        return await super().start()

    def make_preexec_fn(self, name):
        return bounded(super().make_preexec_fn(name))

    def user_env(self, env):
        env = super().user_env(env)
        return {**env, "REIMPL_WORK": f"{env['HOME']}/work"}


class TrustedSpawner(SimpleLocalProcessSpawner):
    """Start the server of a pair as whoever runs the hub: nothing keeps pairs apart but manners."""

    homes = Path("homes")

    def make_preexec_fn(self, name):
        self.home_dir = str(self.homes / name)
        return bounded(super().make_preexec_fn(name))

    def user_env(self, env):
        self.home_dir = str(self.homes / self.user.name)
        env = super().user_env(env)
        return {**env, "REIMPL_WORK": f"{env['HOME']}/work"}
