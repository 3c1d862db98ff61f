"""Let in who stands in the roster and gives their code; it may change while the hub runs."""

import asyncio
import math
import os
import socket
import struct
from pathlib import Path

from jupyterhub import orm
from jupyterhub.auth import Authenticator
from tornado.httputil import HTTPServerRequest
from tornado.ioloop import IOLoop, PeriodicCallback
from tornado.web import HTTPError
from traitlets import Bool, Integer, Unicode

from reimpl_helpers.base.network import HERE
from reimpl_helpers.hub.codes import CODES, Codes, LoginThrottle, hand_out
from reimpl_helpers.hub.roles import ACCOUNT, EVERYBODY, PAIRS, account_of, roles_of
from reimpl_helpers.hub.roster import Roster, RosterError, read_roster

LOOK = 2  # seconds between two looks at the roster


def address_of(request: HTTPServerRequest) -> str:
    """Say where a request comes from: to what the sender made up the proxy adds what it sees.

    Who goes round the proxy, to the hub's socket, is known by their user on this machine.
    """
    at = request.connection.stream.socket
    if at.family == getattr(socket, "AF_UNIX", None) and hasattr(socket, "SO_PEERCRED"):
        _, user, _ = struct.unpack("3i", at.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        if user != os.geteuid():
            return f"user {user}"
    seen = request.headers.get("X-Forwarded-For", request.remote_ip).split(",")[-1].strip()
    return HERE if seen.startswith("127.") else seen  # this machine has many


class RosterAuthenticator(Authenticator):
    """Know people by the name in the roster and a code of their own.

    Whoever is moved to another pair in the file loses the one and gains the other within seconds.
    """

    roster_path = Unicode(help="The roster, a table with the columns name and pair.", config=True)
    folder = Unicode(help="Where the digests of the codes are kept.", config=True)
    address = Unicode(help="Where people reach the hub, for the sheets of codes.", config=True)
    manage_roles = Bool(True)
    auth_refresh_age = Integer(5)  # seconds that an earlier look at the roster counts
    auth_refresh_strict = Bool(True)  # also for who shows a token of an old session

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.codes, self.throttle = Codes(Path(self.folder) / CODES), LoginThrottle()
        self._roster, self._read, self._opened = read_roster(Path(self.roster_path)), 0, None
        self.roster  # noqa: B018  read now: there is a sheet of codes before anybody comes
        if IOLoop.current(instance=False):  # and again and again, though nobody comes
            PeriodicCallback(lambda: self.roster, LOOK * 1000).start()

    @property
    def roster(self) -> Roster:
        """Read the roster where it has changed; one that is not right is not taken over."""
        path = Path(self.roster_path)
        try:
            now = path.stat().st_mtime_ns
            if now != self._read:
                self._read = now
                self._roster = read_roster(path)
                hand_out(Path(self.folder), self._roster, self.address)
        except RosterError as error:
            self.log.error("The roster stays as it was: %s", error)
        except OSError as error:  # a full disk: try again
            self._read = 0
            self.log.error("The roster stays as it was: %s", error)
        return self._roster

    def normalize_username(self, username):
        return self.roster.spelt(username) or " ".join(username.split())

    def validate_username(self, username):
        return "/" not in username

    async def authenticate(self, handler, data):
        """Compare a code; after several wrong ones make them wait."""
        name = self.roster.spelt(data["username"])
        who = name or "", address_of(handler.request)
        if left := self.throttle.wait(who):
            raise HTTPError(
                429, f"Too many wrong codes. Wait {math.ceil(left)} seconds, then try again."
            )
        self.throttle.was_wrong(who)  # unless it turns out right: others may come meanwhile
        if not await asyncio.to_thread(self.codes.is_right, name or "", data["password"]):
            return None
        self.throttle.was_right(who)
        self.end_old_sessions(handler.user_from_username(name).orm_user, handler)
        return self.model_of(name, handler)

    async def refresh_user(self, user, handler=None, **kwargs):
        """Say again what somebody may do; False where they came in with an earlier code."""
        session = user.orm_user.cookie_id
        is_account = user.name.startswith(ACCOUNT)
        model = (self.account_model if is_account else self.model_of)(user.name, handler)
        return user.orm_user.cookie_id == session and model

    def end_old_sessions(self, person: orm.User, handler) -> None:
        """Log somebody out wherever they came in with another code than theirs is now."""
        code = self.codes.code_number(person.name) or orm.new_token()  # who left has none
        if person.cookie_id != code:
            person.cookie_id = code  # what a session's cookie holds
            # what it shows at pairs' servers and the board, and what it may still get that for
            for right in (*person.api_tokens, *person.oauth_codes):
                handler.db.delete(right)
            handler.db.commit()

    def taken_over(self, handler) -> Roster:
        """Return the roster; of a new one, open the pairs' accounts, and end sessions of before."""
        roster = self.roster
        if roster is not self._opened:
            for pair in roster.pairs:
                self.open_account(account_of(pair), handler)
            for user in handler.db.query(orm.User).all():
                if not user.name.startswith(ACCOUNT):
                    self.end_old_sessions(user, handler)
            self._opened = roster  # once for each roster: people are asked for every few seconds
        return roster

    def model_of(self, name: str, handler) -> dict:
        """Say what the hub is to know of a person, as the roster says now."""
        roster = self.taken_over(handler)
        identity = roster.person(name).identity
        return {"name": name, "roles": roles_of(roster, name), "user_info": identity}

    def account_model(self, account: str, handler) -> dict:
        """Say what the hub is to know of a pair's account: who is in the pair."""
        names = self.taken_over(handler).pairs.get(account.removeprefix(ACCOUNT), ())
        return {"name": account, "roles": [EVERYBODY], "user_info": {"names": list(names)}}

    def open_account(self, account: str, handler) -> None:
        """See to it that a pair has an account, with a server that asks nobody for consent."""
        handler.settings["oauth_no_confirm_list"].add(f"jupyterhub-user-{account}")
        user = handler.user_from_username(account)
        group = orm.Group.find(handler.db, PAIRS)
        if user.orm_user not in group.users:
            group.users.append(user.orm_user)
            handler.db.commit()
