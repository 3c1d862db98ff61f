"""Say who may do what on a hub: what every deployment of the workshop loads.

A pair is an account of its own, with a server; nobody logs in as it. Each of its people may start
that server and go in, and nothing else. A facilitator may go into every pair's, and open the board.
"""

from reimpl_helpers.hub.roster import ACCOUNT, Roster

PAIRS = "pairs"  # the group of the pairs' accounts
BOARD, CULLER = "board", "culler"  # services
ENTRANCE = "/enter"  # of a pair's server: it leads each person to a window layout of their own
# What anybody has of themselves: no server of their own, no tokens of their own, nobody else.
EVERYBODY = {
    "name": "user",
    "scopes": ["read:users:name!user", "read:users:groups!user", "users:activity!user"],
}


def account_of(pair: str) -> str:
    return ACCOUNT + pair


def accounts(roster: Roster) -> list[str]:
    """Name the accounts of the pairs."""
    return [account_of(pair) for pair in roster.pairs]


def may_enter(whose: str) -> list[str]:
    """List what it takes to start some servers and go in: of one account, or of a group."""
    return [f"{scope}!{whose}" for scope in ("access:servers", "servers", "read:users:name")]


def roles_of(roster: Roster, name: str) -> list[dict]:
    """List the roles of one person; who stands in no roster may do nothing."""
    if name in roster.facilitators:
        entered = [*may_enter(f"group={PAIRS}"), f"list:users!group={PAIRS}"]
        board = f"access:services!service={BOARD}"
        return [EVERYBODY, {"name": "facilitator", "scopes": [*entered, board]}]
    if pair := roster.pair_of(name):
        account = account_of(pair)
        role = {"name": f"{account}-people", "scopes": may_enter(f"user={account}")}
        return [EVERYBODY, role]
    return [EVERYBODY]


CULLING = {  # the role of what stops servers that nobody uses
    "name": CULLER,
    "scopes": ["list:users", "read:users:activity", "read:servers", "delete:servers"],
    "services": [CULLER],
}
