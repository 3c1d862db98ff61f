"""Logs come to the board as copies: of a roster's pairs alone, and nothing that is not theirs."""

import os
import sys

import pytest

from reimpl_helpers.board.logs import MOST_BYTES
from reimpl_helpers.pair.log import Log

if sys.platform == "win32":
    pytest.skip("a hub runs on Linux and macOS", allow_module_level=True)
from reimpl_helpers.hub.collector import Collector

ROSTER = "name,pair\nMary,facilitator\nAda,oak\nGrace,oak\nJoan,elm\nIda,elm\n"


@pytest.fixture
def room(tmp_path):
    """Two pairs' homes, a folder for the board, and a roster of both."""
    for pair in ("oak", "elm"):
        Log(tmp_path / f"homes/pair-{pair}/work").append("start", track=pair, step=1)
    (tmp_path / "logs").mkdir()
    (tmp_path / "roster.csv").write_text(ROSTER)
    return Collector(tmp_path / "homes", tmp_path / "logs", tmp_path / "roster.csv")


def log_of(room, pair):
    return room.homes / f"pair-{pair}/work/log.jsonl"


def copies(room):
    return {path.stem: path.read_bytes() for path in room.logs.iterdir()}


def test_logs_are_copied_and_again_when_they_grow(room):
    room.collect()
    assert copies(room) == {pair: log_of(room, pair).read_bytes() for pair in ("oak", "elm")}
    Log(log_of(room, "oak").parent).append("hand", track="gnn", step=1, raised=True)
    room.collect()
    assert copies(room)["oak"] == log_of(room, "oak").read_bytes()
    assert copies(room)["oak"].count(b"\n") == 2


def test_what_did_not_change_is_not_written_again(room):
    room.collect()
    before = {path: path.stat().st_ino for path in room.logs.iterdir()}
    room.collect()
    assert {path: path.stat().st_ino for path in room.logs.iterdir()} == before


def test_a_pair_that_left_the_roster_leaves_the_board(room):
    room.collect()
    room.roster.write_text(ROSTER.partition("Joan")[0])
    room.collect()
    assert list(copies(room)) == ["oak"] and log_of(room, "elm").exists()


def link_to_secret(log, secret):
    log.unlink()
    log.symlink_to(secret)


def folder_link(log, secret):
    log.unlink()
    log.parent.rename(log.parent.with_name("away"))
    (secret.parent / "log.jsonl").write_bytes(secret.read_bytes())
    log.parent.symlink_to(secret.parent)


def pipe(log, secret):
    log.unlink()
    os.mkfifo(log)


def folder(log, secret):
    log.unlink()
    log.mkdir()


def of_somebody_else(log, secret):
    """As with a hard link, where the system lets one make it."""
    if os.geteuid() == 0:
        os.chown(log, 65534, 65534)
    else:
        log.unlink()


@pytest.mark.parametrize("trick", [link_to_secret, folder_link, pipe, folder, of_somebody_else])
def test_what_is_no_log_of_the_pairs_own_is_not_brought_to_the_board(trick, room, tmp_path):
    (tmp_path / "secrets").mkdir()
    secret = tmp_path / "secrets/secret"
    secret.write_text("the hub's")
    trick(log_of(room, "oak"), secret)
    room.collect()
    assert list(copies(room)) == ["elm"]


def test_of_an_endless_log_the_end_is_copied(room):
    with log_of(room, "oak").open("ab") as file:
        file.write(b"x" * MOST_BYTES + b"the end\n")
    room.collect()
    assert len(copies(room)["oak"]) == MOST_BYTES and copies(room)["oak"].endswith(b"the end\n")
