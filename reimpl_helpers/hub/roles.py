"""Say who may do what on a hub: what every deployment of the workshop loads.

A pair is an account of its own, with a server; nobody logs in as it. Each of its people may start
that server and go in, and nothing else. A facilitator may go into every pair's, and open the board.
"""

from reimpl_helpers.hub.roster import Roster

PAIRS, FACILITATORS = "pairs", "facilitators"  # groups
BOARD = "board"  # the service
ACCOUNT = "pair-"  # what the name of a pair's account, and of its system user, begins with
# What anybody has of themselves: no server of their own, no tokens of their own, nobody else.
EVERYBODY = ["read:users:name!user", "read:users:groups!user", "users:activity!user"]


def account_of(pair: str) -> str:
    return ACCOUNT + pair


def may_enter(whose: str) -> list[str]:
    """List what it takes to start some servers and go in: of one account, or of a group."""
    return [f"{scope}!{whose}" for scope in ("access:servers", "servers", "read:users:name")]


def roles_of(roster: Roster, name: str) -> list[dict]:
    """List the roles of one person."""
    pair = roster.pair_of(name)
    if pair is not None:
        account = account_of(pair)
        return [{"name": f"{account}-people", "scopes": may_enter(f"user={account}")}]
    return [
        {
            "name": FACILITATORS,
            "scopes": [
                *may_enter(f"group={PAIRS}"),
                f"list:users!group={PAIRS}",
                f"access:services!service={BOARD}",
            ],
        }
    ]


def common_roles(roster: Roster) -> list[dict]:
    """List the roles that are there before anybody logs in, with the accounts of the pairs."""
    accounts = [account_of(pair) for pair in roster.pairs]
    return [
        {"name": "user", "description": "What anybody may", "scopes": EVERYBODY},
        {"name": "pair-account", "description": "An account of a pair", "users": accounts},
    ]
