"""Serve the board on a hub: what the hub starts as its service, for the facilitator alone."""

import asyncio
import hmac
import logging
import os
import secrets
import socket
import sys
from pathlib import Path
from urllib.parse import urlparse

from jupyterhub.services.auth import HubOAuth, HubOAuthCallbackHandler, HubOAuthenticated
from tornado.log import app_log
from tornado.web import HTTPError

from reimpl_helpers.board.page import FACTS, Board, Readings, application, listen
from reimpl_helpers.hub.roles import ACCOUNT
from reimpl_helpers.hub.service import serve
from reimpl_helpers.hub.users import become

TRUSTED = 10  # seconds that a word of the hub holds: who may come in can change


class HubBoard(HubOAuthenticated, Board):
    """Let in whom the hub lets in; lead to its login who has not been there yet."""

    refusal = (
        "The board is for who facilitates this workshop. If that is you, log in as yourself, and "
        "open it again."
    )

    async def prepare(self):
        await self.hub_auth.get_user(self, sync=False)  # kept for the next line
        if self.current_user is None:
            if self.name:
                raise HTTPError(403)
            self.redirect(self.get_login_url())  # refuses who is known, and may not
        elif self.name == FACTS and not self.is_asked_by_the_page():
            raise HTTPError(403)

    def is_asked_by_the_page(self) -> bool:
        """Tell whether our page asks, and not one of a pair's server, which is of the same origin.

        The proof is in a cookie that only pages below our address can read.
        """
        proof = self.request.headers.get("X-XSRFToken", "").encode()
        return hmac.compare_digest(proof, self.xsrf_token)

    async def get(self):
        if not self.name:
            self.xsrf_token  # noqa: B018  (leaves the cookie)
        await super().get()

    @property
    def enter(self) -> str:
        return f"{self.hub_auth.hub_prefix}spawn/{ACCOUNT}"


class Callback(HubBoard, HubOAuthCallbackHandler):
    """Take the hub's word for who somebody is."""

    def prepare(self):
        pass

    get = HubOAuthCallbackHandler.get


def main(folder: str, user: str | None = None) -> None:
    """Serve the board of a folder of the pairs' logs as a user, until the hub ends this."""
    app_log.setLevel(logging.ERROR)  # without https it would be warned at every request
    HubOAuth.instance(cache_max_age=TRUSTED)
    prefix = os.environ["JUPYTERHUB_SERVICE_PREFIX"]
    address = urlparse(os.environ["JUPYTERHUB_SERVICE_URL"])
    # the hub holds the port
    listener = socket.create_server((address.hostname, address.port), reuse_port=True)
    if user:
        become(user)
    served = application(
        [(f"{prefix}oauth_callback", Callback), (".*", HubBoard)],
        Readings(Path(folder), (False, True)),
        prefix,
        cookie_secret=secrets.token_bytes(32),
    )
    asyncio.run(listen(served, listener))


if __name__ == "__main__":
    serve(lambda: main(*sys.argv[1:]))
