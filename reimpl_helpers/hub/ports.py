"""Hold a hub's ports as long as anything of it runs, so that no pair answers at one of them.

What starts the hub opens them, and hands them to the hub, which hands them to its proxy; the guard
opens its own. Whichever of them is killed, another holds the ports until no pair runs anything.
"""

import contextlib
import errno
import os
import socket
from collections.abc import Iterator
from urllib.parse import urlparse

from reimpl_helpers.base.errors import WorkbookError
from reimpl_helpers.base.network import HERE

HELD = "REIMPL_HELD"  # names the open sockets: the public one, the board's, then the others


@contextlib.contextmanager
def hold_ports(address: str) -> Iterator[list[int]]:
    """Open the public port at an address, and one for the board; yield their descriptors.

    Raises: WorkbookError when the public port is in use.
    """
    where = urlparse(address)
    with contextlib.ExitStack() as stack:
        public = open_public(where.hostname, where.port)
        # JupyterHub knows no sockets of services. Nobody but root, as whom the board begins, may
        # share its port.
        board = socket.socket()
        board.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        board.bind((HERE, 0))
        held = [stack.enter_context(each) for each in (public, board, *everywhere(where.port))]
        yield [each.fileno() for each in held]


def open_public(host: str, port: int) -> socket.socket:
    """Listen at the port that browsers come to.

    Raises: WorkbookError when it is in use.
    """
    try:
        with socket.socket() as probe:  # what shares its port with others would be shared with
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
        return socket.create_server((host, port), reuse_port=True)
    except OSError as error:
        raise WorkbookError(
            f"the hub needs the port {port}, and it cannot be had: {error.strerror}. "
            "Stop what uses it, or take another, such as --port=8100."
        ) from error


def everywhere(port: int) -> Iterator[socket.socket]:
    """Hold a port at all addresses of this machine, so that no pair answers at another one."""
    for family in socket.AF_INET, socket.AF_INET6:
        try:
            holder = socket.socket(family)
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # an earlier hub's remains
            if family == socket.AF_INET6:
                holder.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            holder.bind(("", port))
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)  # or a pair may share it
            yield holder
        except OSError as error:
            if error.errno != errno.EAFNOSUPPORT:  # then no pair has such addresses either
                print(
                    f"The port {port} cannot be held at all addresses of this machine: "
                    f"{error.strerror}. A pair might answer at one that you do not hand out.",
                    flush=True,
                )


def held_ports() -> list[int]:
    """Return the descriptors that this process was handed, which what it starts does not get."""
    held = [int(each) for each in os.environ[HELD].split()]
    for each in held:
        os.set_inheritable(each, False)
    return held


def port_of(descriptor: int) -> int:
    """Return the port that an open socket has."""
    with socket.fromfd(descriptor, socket.AF_INET, socket.SOCK_STREAM) as opened:
        return opened.getsockname()[1]
