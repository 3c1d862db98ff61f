"""Stop servers that nobody uses: the library's culler, which knows no sockets, at the hub's."""

import socket
import sys

from jupyterhub_idle_culler import IdleCuller
from tornado.netutil import Resolver

from reimpl_helpers.hub.service import serve


class AtSocket(Resolver):
    """Lead every name to one socket."""

    def initialize(self, path):
        self.path = path

    async def resolve(self, host, port, family=socket.AF_UNSPEC):
        return [(socket.AF_UNIX, self.path)]


def main(path: str, *options: str) -> None:
    """Look for servers that nobody uses, again and again."""
    Resolver.configure(AtSocket, path=path)
    IdleCuller.launch_instance(["--url=http://hub/hub/api", *options])


if __name__ == "__main__":
    serve(lambda: main(*sys.argv[1:]))
