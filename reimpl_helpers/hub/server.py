"""Serve one pair's folder on a hub: what the hub starts, as the pair, for each pair."""

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path

from reimpl_helpers.lab import quick_start  # noqa: F401

# isort: split
from jupyter_server.base.handlers import JupyterHandler
from jupyterhub.services.auth import HubOAuth
from jupyterhub.singleuser.extension import JupyterHubSingleUser
from tornado.web import HTTPError, authenticated

from reimpl_helpers.base.people import Person
from reimpl_helpers.hub.roles import ENTRANCE
from reimpl_helpers.hub.service import LISTENER, watch_parent
from reimpl_helpers.lab.copies import copy_work
from reimpl_helpers.lab.serve import START, PairServer, arguments_of, serving
from reimpl_helpers.pair.pairing import NAMES, name_here, read_names

SAVE_DELAY = 0.5  # seconds: saving is most of what a server does, and twenty share the cores
LOOK = 5  # seconds between two looks at who is in the pair, and who may come in


class WorkspaceRedirect(JupyterHandler):
    """Lead each person to a window layout of their own."""

    @authenticated
    def get(self):
        names, name = read_names(Path(os.environ[NAMES])), self.current_user.display_name
        place = names.index(name) if name in names else len(names)
        self.redirect(self.base_url.rstrip("/") + Person(name, place).path_to(START))


class HubServer(PairServer):
    """Answer where the hub says, and keep in mind who is in the pair, as the hub knows it."""

    def _find_http_port(self):
        if LISTENER not in os.environ:
            super()._find_http_port()

    def _bind_http_server(self):
        if LISTENER not in os.environ:  # some deployment's spawner wants it at a port
            super()._bind_http_server()
        else:
            listener = socket.socket(fileno=int(os.environ.pop(LISTENER)))
            listener.set_inheritable(False)
            listener.setblocking(False)
            self.http_server.add_socket(listener)

    def initialize(self, *args, **kwargs):
        super().initialize(*args, **kwargs)
        self.web_app.add_handlers(
            ".*$", [(self.base_url.rstrip("/") + ENTRANCE, WorkspaceRedirect)]
        )

    def start_app(self):
        self.looking = asyncio.ensure_future(self.look_round(HubOAuth(parent=self)))
        super().start_app()

    async def look_round(self, hub):
        """Ask the hub who is in the pair, again and again: somebody may be moved."""
        known = []
        while True:
            try:
                me = await hub.user_for_token(hub.api_token, use_cache=False, sync=False)
            except HTTPError as error:  # the hub is being started again
                self.log.warning("the hub does not say who is in this pair: %s", error)
                me = None
            names = ((me or {}).get("user_info") or {}).get("names", known)
            if names != known:
                name_here(Path(os.environ[NAMES]), names)
                known = names
            await asyncio.sleep(LOOK)


def main(arguments: list[str]) -> None:
    """Copy the notebooks where there are none, and serve them until the hub ends this."""
    watch_parent(lambda: os.kill(os.getpid(), signal.SIGTERM))  # a hub that was killed
    work = Path(os.environ.setdefault("REIMPL_WORK", str(Path.home() / "work")))
    work.mkdir(parents=True, exist_ok=True)
    copy_work()
    with serving(work, []):
        given = arguments_of(work, solo=False, save_delay=SAVE_DELAY)
        given.append(f"--HubAuth.cache_max_age={LOOK}")  # who was moved to another pair goes out
        JupyterHubSingleUser.serverapp_class = HubServer
        JupyterHubSingleUser.launch_instance([*given, *arguments])


if __name__ == "__main__":
    main(sys.argv[1:])
