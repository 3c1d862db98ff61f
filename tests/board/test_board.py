"""The board shows what the pairs' logs tell, and no log can do more than be wrong about itself."""

import csv
import itertools
import json
import os
import re
import shutil
import socket
import textwrap
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from matplotlib.text import Text

from reimpl_helpers import cli
from reimpl_helpers.base.errors import WorkbookError
from reimpl_helpers.base.people import is_name
from reimpl_helpers.board import confirm as confirming
from reimpl_helpers.board import facts as telling
from reimpl_helpers.board import logs as reading
from reimpl_helpers.board.charts import charts_of, write_charts
from reimpl_helpers.board.confirm import BEWARE, confirmed_in
from reimpl_helpers.board.facts import digest_of, facts_of
from reimpl_helpers.board.logs import (
    MOST_BYTES,
    MOST_EVENTS,
    MOST_IN_MODULE,
    MOST_MODULES,
    logs_in,
    package_in,
)
from reimpl_helpers.board.text import LEGEND, WIDTH, board_as_text, csv_of
from reimpl_helpers.checks.verdict import NOT_WRITTEN, RIGHT, Verdict
from reimpl_helpers.judge import client as judge
from reimpl_helpers.pair.log import Log
from reimpl_helpers.texts import package
from reimpl_helpers.tracks.track import Track, tracks

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def line(at=0, kind="start", **fields):
    """Write an event so many minutes after noon as a line of a log."""
    moment = (NOON + timedelta(minutes=at)).isoformat() if isinstance(at, int | float) else at
    here = {"track": "autoencoder", "step": 1} if kind != "turn" else {}
    return json.dumps({"at": moment, "event": kind, **here, **fields}).encode() + b"\n"


def check(at, piece, state="right", source="", **more):
    return line(at, "check", piece=piece, state=state, source=source, **more)


def turn(at, driver, navigator, number=1):
    return line(at, "turn", number=number, driver=driver, navigator=navigator, why="start")


def write(path, *lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(lines))
    return path


def steps(kept):
    return [event["step"] for event in kept.events]


# --- finding logs -----------------------------------------------------------------------------


def test_logs_are_found_where_they_may_be_and_named_after_their_files(tmp_path):
    write(tmp_path / "oak.jsonl", line(step=1))
    write(tmp_path / "elm" / "log.jsonl", line(step=2))
    write(tmp_path / "ash" / "work" / "log.jsonl", line(step=3))
    write(tmp_path / ".lab" / "log.jsonl", line(step=9))
    write(tmp_path / "elm" / "other.jsonl", line(step=9))
    (tmp_path / "empty").mkdir()
    logs = logs_in(tmp_path)
    assert {label: steps(kept) for label, kept in logs.items()} == {
        "ash": [3],
        "elm": [2],
        "oak": [1],
    }
    assert not any(kept.trouble for kept in logs.values())


def test_a_pairs_own_folder_is_one_pair(tmp_path):
    log = Log(tmp_path / "work")
    log.append("start", track="gnn", step=4)
    (tmp_path / "work" / "gnn").mkdir()
    ((label, kept),) = logs_in(tmp_path / "work").items()
    assert (label, steps(kept)) == ("work", [4])


def test_a_folder_without_a_log_says_what_to_do(tmp_path):
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(
            WorkbookError, match=r"holds no log\. Copy each pair's log\.jsonl there"
        ):
            logs_in(folder)


def test_logs_of_the_same_name_are_never_merged(tmp_path):
    write(tmp_path / "oak.jsonl", line(step=1))
    write(tmp_path / "oak" / "log.jsonl", line(step=2))
    write(tmp_path / "oak" / "work" / "log.jsonl", line(step=3))
    write(tmp_path / "oak (2).jsonl", line(step=4))
    logs = logs_in(tmp_path)
    assert {label: steps(kept) for label, kept in logs.items()} == {
        "oak (1)": [2], "oak (2)": [4], "oak (3)": [3], "oak (4)": [1],
    }  # fmt: skip
    assert [label for label in logs if logs[label].trouble] == ["oak (1)", "oak (3)", "oak (4)"]


@pytest.mark.parametrize(
    "name", ["a\nb", "x" * 100, "\x1b[31mred", "\u202eevil", os.fsdecode(b"\xff")]
)
def test_a_name_that_cannot_be_shown_is_shown_in_part(name, tmp_path):
    write(tmp_path / f"{name}.jsonl", line())
    ((label, kept),) = logs_in(tmp_path).items()
    assert label.isprintable() and 0 < len(label) <= 40 and steps(kept) == [1]
    assert kept.trouble == reading.ODD_NAME


def test_of_very_many_logs_the_first_are_read_and_it_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "MOST_LOGS", 3)
    for number in range(5):
        write(tmp_path / f"{number}.jsonl", line())
    *few, rest = logs_in(tmp_path).items()
    assert [label for label, _ in few] == ["0", "1", "2"]
    assert rest[1].events == [] and "Only 3 logs" in rest[1].trouble


# --- reading one ------------------------------------------------------------------------------


def test_of_a_long_log_the_end_is_read_and_it_is_said(tmp_path):
    long = line(step=1, track="x" * 1000)
    path = write(tmp_path / "oak.jsonl", long * (MOST_BYTES // len(long) + 5), line(step=2))
    kept = logs_in(tmp_path)["oak"]
    assert kept.trouble == reading.TOO_LONG and steps(kept)[-1] == 2
    assert MOST_BYTES - 2 * len(long) < len(long) * len(kept.events) <= MOST_BYTES + len(long)
    write(path, *(line(step=number) for number in range(MOST_EVENTS + 3)))
    kept = logs_in(tmp_path)["oak"]
    assert kept.trouble == reading.TOO_LONG and steps(kept) == list(range(3, MOST_EVENTS + 3))
    with path.open("ab") as file:
        file.write(line(step=-1))
    kept = logs_in(tmp_path)["oak"]
    assert len(kept.events) == MOST_EVENTS and steps(kept)[-2:] == [MOST_EVENTS + 2, -1]
    write(path, line())
    assert logs_in(tmp_path)["oak"].trouble == ""


def test_what_was_read_is_kept_until_the_file_changes(tmp_path, monkeypatch):
    read = []
    event_of = reading.event_of
    monkeypatch.setattr(reading, "event_of", lambda line: (read.append(line), event_of(line))[1])
    path = write(tmp_path / "oak.jsonl", line(step=1), line(step=2))
    first = logs_in(tmp_path)["oak"]
    assert logs_in(tmp_path)["oak"] is first
    read.clear()
    with path.open("ab") as file:
        file.write(line(step=3) + b'{"at": "2026')
    assert steps(logs_in(tmp_path)["oak"]) == [1, 2, 3]
    assert len([each for each in read if each]) == 2  # the new line, and the half one
    with path.open("ab") as file:
        file.write(b'-01-01", "event": "start", "track": "gnn", "step": 4}')
    assert steps(logs_in(tmp_path)["oak"]) == [1, 2, 3, 4]
    with path.open("ab") as file:
        file.write(b"\n" + line(step=5))
    assert steps(logs_in(tmp_path)["oak"]) == [1, 2, 3, 4, 5]


def test_a_file_that_was_replaced_is_read_anew(tmp_path):
    path = write(tmp_path / "oak.jsonl", line(step=1), line(step=2))
    assert steps(logs_in(tmp_path)["oak"]) == [1, 2]
    os.replace(write(tmp_path / "new", line(step=7), line(step=8), line(step=9)), path)
    assert steps(logs_in(tmp_path)["oak"]) == [7, 8, 9]
    path.write_bytes(line(step=5))
    assert steps(logs_in(tmp_path)["oak"]) == [5]
    path.unlink()
    write(tmp_path / "elm.jsonl", line())
    assert list(logs_in(tmp_path)) == ["elm"]
    assert all(
        place.name == "elm.jsonl" for folder, place in reading._last_read if folder == tmp_path
    )


@pytest.mark.parametrize("has_openat", {True, reading.HAS_OPENAT})
@pytest.mark.parametrize("place", ["oak.jsonl", "oak", "oak/log.jsonl", "oak/work"])
def test_no_link_is_followed(place, has_openat, tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "HAS_OPENAT", has_openat)
    target = write(tmp_path / "secret" / "work" / "log.jsonl", line(step=9))
    folder = tmp_path / "logs"
    link = folder / place
    link.parent.mkdir(parents=True)
    link.symlink_to(target if link.suffix else target.parent)
    (kept,) = logs_in(folder).values()
    assert (kept.events, kept.trouble) == ([], reading.LINK)


def is_bound(path):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


@pytest.mark.parametrize("make", [os.mkfifo, is_bound], ids=["pipe", "socket"])
def test_what_is_no_file_is_said_and_blocks_nothing(make, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make("oak.jsonl")
    began = time.monotonic()
    (kept,) = logs_in(tmp_path).values()
    assert kept.events == [] and kept.trouble and time.monotonic() - began < 1


def test_a_folder_in_the_place_of_a_log_is_said(tmp_path):
    (tmp_path / "oak" / "log.jsonl").mkdir(parents=True)
    assert logs_in(tmp_path)["oak"].trouble == reading.NO_FILE


def test_a_log_that_cannot_be_read_is_said(tmp_path, monkeypatch):
    write(tmp_path / "oak.jsonl", line())
    write(tmp_path / "elm.jsonl", line())
    opened = os.open

    def refuse(path, *args, **more):
        if path == "oak.jsonl":
            raise PermissionError(13, "Permission denied")
        return opened(path, *args, **more)

    monkeypatch.setattr(os, "open", refuse)
    logs = logs_in(tmp_path)
    assert logs["oak"].trouble == "Its log cannot be read (permission denied)."
    assert steps(logs["elm"]) == [1]


def test_no_descriptor_is_left_open(tmp_path):
    write(tmp_path / "oak.jsonl", line())
    write(tmp_path / "elm" / "work" / "log.jsonl", line())
    (tmp_path / "ash.jsonl").symlink_to("oak.jsonl")
    os.mkfifo(tmp_path / "fir.jsonl")
    (tmp_path / "yew" / "log.jsonl").mkdir(parents=True)
    before = len(os.listdir("/dev/fd"))
    for _ in range(3):
        assert len(logs_in(tmp_path)) == 5
    assert len(os.listdir("/dev/fd")) == before


# --- what the logs tell -----------------------------------------------------------------------


def facts_in(folder, at=60, confirmed=None, **more):
    return facts_of(logs_in(folder), confirmed or {}, NOON + timedelta(minutes=at), **more)


def pair_in(facts, label):
    (pair,) = [pair for pair in facts["pairs"] if pair["label"] == label]
    return pair


@pytest.fixture
def room(tmp_path):
    """Three pairs at work: oak and elm at one mistake, elm and ash with a hand up."""
    write(
        tmp_path / "oak.jsonl",
        line(0),
        turn(0, "Ada", "Grace"),
        check(6, "nn_layer", NOT_WRITTEN),
        line(7, "prediction", piece="nn_layer", said="yes", navigator="Grace"),
        check(8, "nn_layer", "wrong", mistake="bias left out"),
        check(9, "nn_layer", source="def nn_layer(): ..."),
        turn(9, "Grace", "Ada", 2),
        line(10, "prediction", piece="encoder", said="3", navigator="Ada", came_true=True),
        line(11, "prediction", piece="encoder", said="4", navigator="Ada", came_true=False),
        line(11, "prediction", piece="decoder", said="", navigator="Ada"),
        check(12, "encoder", "wrong", mistake="tanh left out"),
    )
    write(
        tmp_path / "elm.jsonl",
        line(0),
        check(5, "encoder", "wrong", mistake="bias left out"),
        check(15, "encoder", "wrong", mistake="tanh left out"),
        line(40, "hand", raised=True),
    )
    write(
        tmp_path / "ash.jsonl",
        line(30, "hand", step=4, raised=True),
        line(31, "score", step=4, caught=3, mistakes=12),
        line(32, "score", step=4, caught=7, mistakes=12),
        line(50, step=4),
    )
    return tmp_path


def test_pieces_are_told_with_minutes_attempts_and_the_last_mistake(room):
    facts = facts_in(room)
    assert json.loads(json.dumps(facts)) == facts
    pieces = pair_in(facts, "oak")["pieces"]
    assert pieces["autoencoder/1/nn_layer"] == {
        "claimed": "right", "confirmed": "", "minutes": 9.0, "attempts": 2,
        "mistake": "bias left out", "question": "Is the bias added?",
    }  # fmt: skip
    assert pieces["autoencoder/1/encoder"]["claimed"] == "wrong"
    assert pieces["autoencoder/1/encoder"]["minutes"] == 3.0
    assert pieces["autoencoder/1/encoder"]["attempts"] == 1
    assert pieces["autoencoder/1/decoder"]["attempts"] == 0
    assert pieces["autoencoder/1/decoder"]["claimed"] == NOT_WRITTEN


def test_who_is_where_and_how_predictions_and_scores_fared(room):
    facts = facts_in(room)
    oak, elm, ash = (pair_in(facts, label) for label in ("oak", "elm", "ash"))
    assert (oak["names"], elm["names"]) == (["Ada", "Grace"], [])
    assert oak["now"] == {"track": "autoencoder", "step": 1, "piece": "encoder"}
    assert ash["now"] == {
        "track": "autoencoder", "step": 4, "piece": "test_layer_shape_and_relu",
    }  # fmt: skip
    assert oak["predictions"] == {"said": 2, "came_true": 1}  # the first word counts
    assert ash["scores"] == {"autoencoder/4": {"caught": 7, "mistakes": 12}}
    assert (oak["quiet"], ash["quiet"]) == (48.0, 10.0)


def test_who_waits_longest_comes_first_and_then_the_names_as_people_order_them(room):
    for name in ("pair 10", "pair 2", "٣"):
        write(room / f"{name}.jsonl", line(0))
    facts = facts_in(room)
    labels = [pair["label"] for pair in facts["pairs"]]
    assert labels == ["ash", "elm", "oak", "pair 2", "pair 10", "٣"]
    assert facts["pairs"][0]["hand"] == {"since": "2026-01-01T12:30:00+00:00", "minutes": 30.0}
    assert [bool(pair["hand"]) for pair in facts["pairs"]] == [True, True] + 4 * [False]


def test_the_commonest_mistake_now_comes_first_with_those_who_are_at_it(room):
    write(
        room / "fir.jsonl",
        check(1, "encoder", "wrong", mistake="tanh left out"),
        check(2, "encoder", "wrong"),
    )
    first, *others = facts_in(room)["mistakes"]
    assert first == {
        "track": "autoencoder", "piece": "encoder", "mistake": "tanh left out",
        "question": "What does the original do last to a code?",
        "pairs": ["elm", "oak", "fir"], "now": 2,
    }  # fmt: skip
    assert [(each["piece"], each["pairs"], each["now"]) for each in others] == [
        ("encoder", ["elm"], 0), ("nn_layer", ["oak"], 0),
    ]  # fmt: skip


def test_a_pair_is_at_the_piece_it_checked_last_or_the_next_that_is_not_right(tmp_path):
    path = write(tmp_path / "oak.jsonl", line(0))
    seen = []
    for event in (
        check(1, "encoder", "wrong"),
        line(2, "hand", raised=True),
        check(3, "encoder"),
        check(4, "decoder"),
        check(5, "autoencoder"),
        check(6, "numpy_counterparts"),
        check(7, "nn_layer"),
        line(8, step=2),
        line(9, "turn", number=1, driver="Ada", navigator="Grace", why="asked"),
    ):
        with path.open("ab") as file:
            file.write(event)
        seen.append(facts_in(tmp_path)["pairs"][0]["now"])
    assert [now["piece"] for now in seen] == [
        "encoder", "encoder", "decoder", "autoencoder", "numpy_counterparts", "nn_layer", "",
        "param_shapes", "param_shapes",
    ]  # fmt: skip
    assert [now["step"] for now in seen] == 7 * [1] + 2 * [2]


def test_what_was_right_once_stays_right_and_is_not_confirmed_by_that(tmp_path):
    write(tmp_path / "oak.jsonl", check(1, "encoder", source="one"), check(2, "encoder", "wrong"))
    piece = facts_in(tmp_path)["pairs"][0]["pieces"]["autoencoder/1/encoder"]
    assert (piece["claimed"], piece["confirmed"], piece["attempts"]) == ("right", "", 2)


@pytest.mark.parametrize("state", ["", "Right", "right ", "confirmed", "say first what you expect"])
def test_a_state_that_is_none_claims_nothing(state, tmp_path):
    write(tmp_path / "oak.jsonl", line(0), check(1, "encoder", state))
    (pair,) = facts_in(tmp_path)["pairs"]
    assert pair["pieces"] == {} and pair["now"]["piece"] == "numpy_counterparts"


@pytest.mark.parametrize("state", ["right", "wrong"])
def test_a_verdict_holds_for_the_text_that_was_judged_and_no_other(state, tmp_path):
    path = write(tmp_path / "oak.jsonl", check(1, "encoder", source="one"))
    judged = {"oak": {"autoencoder/1/encoder": {"state": state, "of": digest_of("one")}}}

    def confirmed():
        return facts_in(tmp_path, confirmed=judged)["pairs"][0]["pieces"]["autoencoder/1/encoder"][
            "confirmed"
        ]

    assert confirmed() == state
    write(path, check(1, "encoder", source="one"), check(2, "encoder", source="two"))
    assert confirmed() == ""
    write(path, check(1, "encoder", "wrong", source="one"))
    assert confirmed() == ""
    write(path, check(1, "encoder", source="one", step=2))
    assert "autoencoder/1/encoder" not in facts_in(tmp_path)["pairs"][0]["pieces"]


def test_hidden_facts_hold_no_name(room):
    write(room / "Grace Hopper.jsonl", turn(0, "Ada", "Grace"))
    os.mkfifo(room / "Ada Lovelace.jsonl")
    facts = facts_in(room, hidden=True)
    said = json.dumps(facts)
    assert not any(name in said for name in ("Ada", "Grace", "oak", "elm", "ash"))
    assert [pair["label"] for pair in facts["pairs"]] == [f"pair {n}" for n in (3, 4, 1, 2, 5)]
    assert facts["mistakes"][0]["pairs"] == ["pair 4", "pair 5"]


@pytest.mark.parametrize("ahead", [5, 60 * 24 * 365 * 900])
def test_a_clock_that_is_ahead_makes_no_negative_minutes(ahead, tmp_path):
    write(
        tmp_path / "oak.jsonl",
        line(0),
        check(ahead, "nn_layer", "wrong"),
        line(ahead, "hand", raised=True),
        check(2, "encoder", "wrong"),
    )
    pair = facts_in(tmp_path, at=1)["pairs"][0]
    assert pair["hand"] == {"since": "2026-01-01T12:01:00+00:00", "minutes": 0.0}
    assert pair["quiet"] == 0.0
    assert [piece["minutes"] for piece in pair["pieces"].values()] == [min(ahead, 10), 0]


def test_names_that_cannot_be_shown_are_left_out(tmp_path):
    write(
        tmp_path / "oak.jsonl",
        turn(0, "Ada", "<b>Grace</b>"),
        turn(1, "x" * 41, "\x1b[2J"),
        turn(2, "", "\u202e"),
    )
    assert facts_in(tmp_path)["pairs"][0]["names"] == ["<b>Grace</b>", "Ada"]


def test_a_log_is_taken_apart_once(room, monkeypatch):
    logs = logs_in(room)
    before = facts_of(logs, {}, NOON)
    monkeypatch.setattr(telling, "pieces_in", None)
    assert facts_of(logs_in(room), {}, NOON) == before


# --- in words, and as a table -----------------------------------------------------------------


def test_the_text_shows_who_waits_then_who_is_where_then_mistakes(room):
    os.mkfifo(room / "fir.jsonl")
    judged = {"oak": {"autoencoder/1/nn_layer": {
        "state": "right", "of": digest_of("def nn_layer(): ..."),
    }}}  # fmt: skip
    text = board_as_text(facts_in(room, confirmed=judged))
    text = re.sub(r"\(\d+\)", "(m)", re.sub(r"\d+ minutes$", "m minutes", text, flags=re.M))
    assert text.split("\n\n") == [
        """\
Waiting for help:
  ash                30 minutes  autoencoder 04 test_layer_shape_and_relu
  elm                20 minutes  autoencoder 01 encoder""",
        """\
autoencoder 01 The forward pass, m minutes
  1 numpy_counterparts (m), 2 nn_layer (m), 3 encoder (m), 4 decoder (m), 5 autoencoder (m)
  pair  1  2      3       4     5  others  quiet
  elm   -  -      >x2/15  -     -  0       20
  oak   -  ++2/9  >x1/3   o0/0  -  0       48""",
        """\
autoencoder 04 Unit tests, m minutes
  1 test_layer_shape_and_relu (m), 2 test_shapes (m), 3 test_code_range (m), 4 test_pixel_range (m),
  5 test_rows_do_not_mix (m), 6 test_bias_shifts_the_output (m), 7 test_by_hand (m)
  pair  1   2  3  4  5  6  7  others  quiet
  ash   >-  -  -  -  -  -  -  0       10""",
        "\n".join(textwrap.wrap(LEGEND, WIDTH)),
        """\
The commonest mistakes now:
   2  autoencoder encoder: tanh left out
      Ask: What does the original do last to a code?
      At it: elm, oak""",
        "fir: Its log is no plain file.",
    ]


@pytest.mark.parametrize("state, mark", [("right", "++1/3"), ("wrong", "+x1/3"), ("", "+1/3")])
def test_claimed_and_confirmed_are_told_apart_without_colour(state, mark, tmp_path):
    write(tmp_path / "oak.jsonl", line(0), check(3, "nn_layer", source="x"))
    judged = {"oak": {"autoencoder/1/nn_layer": {"state": state, "of": digest_of("x")}}}
    (row,) = [
        line for line in board_as_text(facts_in(tmp_path, confirmed=judged)).splitlines()
        if line.startswith("  oak")
    ]  # fmt: skip
    assert row.split()[2] == mark
    csv_row = csv_of(facts_in(tmp_path, confirmed=judged)).splitlines()[1]
    assert csv_row == f"oak,autoencoder,1,nn_layer,right,{state},3.0,1,"


def test_twenty_pairs_fit_a_terminal(tmp_path):
    names = [piece.name for piece in Track("transformer", 5).pieces if piece.step == 5]
    for number in range(20):
        write(
            tmp_path / f"{'x' * 30}{number}.jsonl",
            *(turn(0, "x" * 40, "y" * 40), line(1, "hand", track="transformer", raised=True)),
            *(
                check(100 * at, name, "wrong", track="transformer", step=5)
                for at, name in enumerate(12 * names)
            ),
        )
    lines = board_as_text(facts_in(tmp_path, at=10**6)).splitlines()
    assert max(map(len, lines)) <= WIDTH and len(lines) < 60


def test_an_empty_log_is_named(tmp_path):
    write(tmp_path / "oak.jsonl")
    assert board_as_text(facts_in(tmp_path)) == (
        "Nobody waits for help.\n\noak: Its log tells of no notebook yet."
    )


def test_a_table_has_a_row_for_each_pair_and_piece(room):
    rows = list(csv.DictReader(csv_of(facts_in(room)).splitlines()))
    assert [(row["pair"], row["piece"]) for row in rows] == [
        ("elm", "encoder"), ("oak", "nn_layer"), ("oak", "encoder"), ("oak", "decoder"),
    ]  # fmt: skip
    assert rows[0] == {
        "pair": "elm", "track": "autoencoder", "step": "1", "piece": "encoder",
        "claimed": "wrong", "confirmed": "", "minutes": "15.0", "attempts": "2",
        "mistake": "tanh left out",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@sum", 'a,"b', "=cmd|' /C calc'!A0"])
def test_no_cell_is_a_formula(name, tmp_path):
    write(tmp_path / f"{name.replace('/', '-')}.jsonl", check(3, "nn_layer"))
    (row,) = csv.DictReader(csv_of(facts_in(tmp_path)).splitlines())
    assert row["pair"][0] not in "=+-@\t\r" and row["pair"].endswith(name[1:].replace("/", "-"))


# --- two hundred hostile logs -----------------------------------------------------------------

HOSTILE = 200
CHECK = {
    "at": "2026-01-01T12:00:00+00:00", "event": "check", "track": "autoencoder", "step": 1,
    "piece": "encoder", "state": "wrong", "source": "", "mistake": "tanh left out",
}  # fmt: skip
STRANGE = (
    None, True, -1, 2**53, 10**400, 1.5, float("nan"), float("inf"), "", "\x00", "\ud800",
    "\x1b[2J", "\u202eevil", "../../etc", "=1+1", "<script>alert(1)</script>", "__proto__",
    "x" * 10**5, [], {}, [[[[]]]], {"toString": 1},
)  # fmt: skip


def event(**fields):
    return json.dumps({**CHECK, **fields}).encode() + b"\n"


def hostile_contents():
    """Yield what a log may hold that is no log, or tells of what there is not."""
    yield from (b"", b"\n" * 10**6, b"\x00" * 10**6, b"\xff\xfe\n" * 1000, b"\xed\xa0\x80\n")
    yield from (b"[" * 10**6, b'{"a":' * 10**5, b'{"at": ' + b"[" * 10**5 + b"]" * 10**5 + b"}\n")
    yield from (b"x" * 3_000_000, b'{"at": "' + b"x" * 3_000_000 + b'"}\n', event()[:-1] * 2)
    yield from (b"\x80\x04\x95cos\nsystem\n(S'true'\ntR.", b"#!/bin/sh\nexit 1\n")
    yield from (event()[:cut] for cut in range(10, len(event()), 25))  # torn
    for name, value in itertools.product(CHECK, STRANGE):
        yield event(**{name: value})
    for value in STRANGE:
        yield line(0, "hand", raised=value) + turn(0, value, value, value)
        yield line(0, "prediction", piece="encoder", said=value, navigator=value, came_true=value)
        yield line(0, "score", step=4, caught=value, mistakes=value)
    for number in ("NaN", "-Infinity", "1" * 5000, "1e999", "0x1", "1.0"):
        yield event().replace(b'"step": 1', b'"step": %s' % number.encode())
    for at in ("0001-01-01", "9999-12-31T23:59:59", "2999-12-31T23:59:59-23:59", "1970-01-01",
               "2026-02-30", "2026-01-01T12:00:00+99:00", "now", "2" * 1000):  # fmt: skip
        yield line(at, "hand", raised=True) + line(at)
    for track, step, piece in (("autoencoder", 6, "encoder"), ("autoencoder", 2, "encoder"),
                               ("nothing", 1, "encoder"), ("gnn", 1, "encoder"),
                               ("../notebooks/gnn", 1, "readout")):  # fmt: skip
        yield event(track=track, step=step, piece=piece)
        yield line(0, track=track, step=step) + line(0, "hand", track=track, step=step, raised=True)
    for caught, mistakes in ((-5, 3), (9, 3), (0, 0), (2**60, 2**61)):
        yield line(0, "score", step=4, caught=caught, mistakes=mistakes)
    yield line(0, label="oak", pair="oak") + turn(0, "Ada", "Grace") + event(mistake="no such")
    yield b"".join(turn(number, "Ada", "Grace", number) for number in range(10**4))


def not_plain_files(folder, honest):
    """Put into the place of logs what is no plain file; return how many there are."""
    elsewhere = write(folder.parent / "elsewhere" / "work" / "log.jsonl", event(piece="decoder"))
    made = [folder / f"not-plain-{number}.jsonl" for number in range(12)]
    targets = honest, elsewhere, "/dev/zero", "/etc", "/proc/self/environ", made[0], made[6]
    for path, target in zip(made, (*targets, "nowhere", "/dev/tty"), strict=False):
        path.symlink_to(target)
    os.mkfifo(made[9])
    made[10].mkdir()
    (folder / "folder" / "log.jsonl").mkdir(parents=True)
    (folder / "linked").symlink_to(elsewhere.parent)
    (folder / "loop").symlink_to("loop")
    (folder / "inner").mkdir()
    (folder / "inner" / "work").symlink_to(elsewhere.parent)
    (folder / "far").mkdir()
    (folder / "far" / "log.jsonl").symlink_to(honest)
    here = os.getcwd()
    os.chdir(folder)  # the address of a socket is short
    is_bound(made[11].name)
    os.chdir(here)
    return 16


ODD_NAMES = (
    "o ak", "OAK", "o\u0430k", "\u202ekao", "oak\n", "\x1b[2Joak", "=oak", "<b>oak<b>", "oak " * 30,
    os.fsdecode(b"oak\xff"), "oak\u0301" * 10, "%00", "ash'; DROP TABLE", "{{oak}}", "\u0663",
    "9" * 200, "oak (2)", "\u200boak",
)  # fmt: skip


def hostile_logs(folder, honest):
    """Put hostile logs of every kind into a folder; return how many there are."""
    contents = list(hostile_contents())
    names = [*ODD_NAMES, *(f"hostile {number}" for number in range(len(contents)))]
    for name, content in zip(names, contents, strict=False):
        write(folder / f"{name}.jsonl", content)
    write(folder / "elm" / "work" / "log.jsonl", event(piece="decoder"))
    write(folder / "million.jsonl", event(piece="decoder", mistake="sigmoid left out") * 10**6)
    return len(contents) + 2 + not_plain_files(folder, honest)


@pytest.fixture(scope="module")
def besieged(tmp_path_factory):
    """Three honest logs in a folder, what they tell, and a hundred times as many hostile ones."""
    folder = tmp_path_factory.mktemp("besieged") / "logs"
    for place, name in enumerate(("oak", "elm", "ash"), 1):
        write(
            folder / f"{name}.jsonl",
            line(0),
            turn(0, "Ada", "Grace"),
            check(place, "nn_layer", source=name),
            check(5, "encoder", "wrong", mistake="tanh left out"),
            line(6, "hand", raised=True),
        )
    before = facts_in(folder)
    assert hostile_logs(folder, folder / "oak.jsonl") >= HOSTILE
    return folder, before


def test_honest_logs_tell_the_same_beside_two_hundred_hostile_ones(besieged):
    folder, before = besieged
    reading._last_read.clear()
    began = time.monotonic()
    after = facts_in(folder)
    took = time.monotonic() - began
    assert took < 10, took
    began = time.monotonic()
    assert facts_in(folder) == after
    assert time.monotonic() - began < 1
    assert len(after["pairs"]) >= HOSTILE
    for label in ("oak", "ash"):
        assert pair_in(after, label) == pair_in(before, label)
    elms = [pair_in(after, f"elm ({number})") for number in (1, 2)]
    assert all(reading.NAMESAKE in elm["trouble"] for elm in elms)
    same = {name: value for name, value in pair_in(before, "elm").items() if name != "label"}
    assert sum({**elm, "trouble": "", "label": ""} == {**same, "label": ""} for elm in elms) == 1


def test_hostile_logs_add_nothing_that_is_not_there(besieged):
    folder, before = besieged
    facts = facts_in(folder)
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts
    assert {track["name"] for track in facts["tracks"]} <= set(tracks())
    pieces = {
        f"{track['name']}/{step['step']}/{piece['name']}"
        for track in facts["tracks"] for step in track["steps"] for piece in step["pieces"]
    }  # fmt: skip
    bugs = {(name, bug.name) for name in tracks() for bug in Track(name, 5).bugs}
    for pair in facts["pairs"]:
        assert pair["label"].isprintable() and 0 < len(pair["label"]) <= 44
        assert pair["pieces"].keys() <= pieces
        assert all(is_name(name) for name in pair["names"]) and len(pair["names"]) <= 3
        for piece in pair["pieces"].values():
            assert piece["minutes"] >= 0 and piece["attempts"] >= 0 and piece["confirmed"] == ""
            assert not piece["mistake"] or ("autoencoder", piece["mistake"]) in bugs
        for score in pair["scores"].values():
            assert 0 <= score["caught"] <= score["mistakes"]
    for fact in facts["mistakes"]:
        assert (fact["track"], fact["mistake"]) in bugs and fact["question"]
    linked = [pair for pair in facts["pairs"] if pair["label"].startswith(("not-plain", "link"))]
    assert len(linked) == 12 and not any(pair["pieces"] or pair["now"] for pair in linked)


def test_hostile_logs_are_written_down_as_text_that_harms_nobody(besieged):
    facts = facts_in(besieged[0])
    lines = board_as_text(facts).splitlines()
    assert all(line.isprintable() for line in lines)
    for row in csv.reader(csv_of(facts).splitlines()):
        assert all(cell[:1] not in ("=", "+", "-", "@") and cell.isprintable() for cell in row)


def test_a_log_may_grow_and_be_replaced_while_it_is_read(tmp_path):
    path, stop = write(tmp_path / "oak.jsonl", line(0)), threading.Event()

    def write_on():
        while not stop.is_set():
            with path.open("ab") as file:
                file.write(check(1, "encoder", "wrong") * 50 + b'{"at": "20')
            os.replace(write(tmp_path / "new", line(0), check(1, "encoder")), path)
            path.write_bytes(b"")

    writer = threading.Thread(target=write_on)
    writer.start()
    try:
        until = time.monotonic() + 1
        while time.monotonic() < until:
            (pair,) = facts_in(tmp_path)["pairs"]
            assert pair["pieces"].keys() <= {"autoencoder/1/encoder"} and not pair["trouble"]
    finally:
        stop.set()
        writer.join()


# --- judged anew ------------------------------------------------------------------------------


def right_pieces(name, steps=range(1, 6)):
    """Give the text of every piece that a track saves, as the workbook writes it, by its key."""
    return {
        (name, piece.step, piece.name): package.source_of_piece(
            Track(name, piece.step).given(piece)
        )
        for piece in Track(name, 5).pieces
        if piece.module and piece.step in steps
    }


def write_claims(work, claims, **modules):
    """Write what a pair has in its work/: a log that calls these texts right, and a package.

    The package is the workbook's with these texts in it, but for the modules that are given.
    """
    lines = [
        check(at, piece, track=name, step=step, source=package.definition_of(source, piece))
        for at, ((name, step, piece), source) in enumerate(claims.items())
    ]
    write(work / "log.jsonl", *lines)
    name, step, _ = next(iter(claims))
    texts = (track := Track(name, step)).given_texts(in_jax=False)
    for (_, _, piece), source in claims.items():
        if (module := track.module_of(piece)) not in modules:
            texts[module] = package.with_definition(texts[module], piece, source, module)
    package.write_texts(work / name, {**texts, **modules}, {})


def judged(folder, label="oak"):
    """Judge a folder of logs; return the state of each piece of a pair, and what was said."""
    said = []
    all_right = confirming.confirm(folder, said.append)
    (pair,) = [p for p in facts_in(folder, confirmed=confirmed_in(folder))["pairs"]
               if p["label"] == label]  # fmt: skip
    states = {key: piece["confirmed"] for key, piece in pair["pieces"].items()}
    return states, said, all_right


def test_right_is_confirmed_and_what_only_claims_to_be_is_not(tmp_path):
    claims = right_pieces("autoencoder", [1])
    write_claims(tmp_path / "oak", claims)
    wrong = claims["autoencoder", 1, "encoder"].replace('"tanh"', '"relu"')
    assert wrong != claims["autoencoder", 1, "encoder"]
    write_claims(tmp_path / "elm", {**claims, ("autoencoder", 1, "encoder"): wrong})
    states, said, all_right = judged(tmp_path)
    assert said[0] == BEWARE and said[-1] == "6 of 8 claims confirmed." and not all_right
    assert set(states.values()) == {"right"} and len(states) == 4
    states, said, _ = judged(tmp_path, "elm")
    assert said == ["6 of 8 claims confirmed."]  # nothing runs twice
    assert states == {
        "autoencoder/1/nn_layer": "right", "autoencoder/1/encoder": "wrong",
        "autoencoder/1/decoder": "right", "autoencoder/1/autoencoder": "wrong",
    }  # fmt: skip
    assert sorted(path.name for path in tmp_path.iterdir()) == [".confirmed", "elm", "oak"]


def test_what_was_judged_before_an_interruption_is_kept(tmp_path, monkeypatch):
    claims = right_pieces("autoencoder", [1])
    write_claims(tmp_path / "oak", claims)
    asked = []

    def judge_all(store, is_asked):
        asked.append([piece.name for piece in store.track.pieces if is_asked(piece)])
        return (Verdict(name, RIGHT) for name in asked[-1])

    def interrupted(words):
        if words.endswith(": right"):
            raise KeyboardInterrupt

    monkeypatch.setattr(confirming, "judge_package", judge_all)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            confirming.confirm(tmp_path, interrupted)
    assert len(asked[0]) == len(claims) and asked[1] == asked[0][1:]


def test_what_was_right_before_the_port_is_confirmed_by_a_right_port(tmp_path):
    claims = right_pieces("autoencoder", [1])
    model = Track("autoencoder", 5).given_texts(in_jax=True)["model"]
    wrong = model.replace("jnp.tanh(output)", "jnp.sin(output)")
    assert wrong != model
    for pair, text in {"oak": model, "elm": wrong}.items():
        write_claims(tmp_path / pair, claims, model=text)
    states, said, _ = judged(tmp_path)
    assert set(states.values()) == {"right"}
    assert f"elm  autoencoder/1/nn_layer: not judged: {confirming.PORTED}" in said


SHAPES = ("autoencoder", 2, "param_shapes")
OTHER = "its package holds another text by now"
NOT_HELD = {
    "nothing": ("", "its package does not hold it"),
    "another name": ("def encoder(params, x):\n    return x\n", "its package does not hold it"),
    "another text": ("def param_shapes():\n    return {}\n\n\nimport os\nos._exit(0)\n", OTHER),
    "no Python": ("def param_shapes(:\n", "shapes.py has a syntax error on line 1"),
    "null byte": ("def param_shapes():\n    return \x00\n", "has a syntax error"),
    "deep": (f"def param_shapes():\n    return {'-' * 10_000}1\n", "is nested too deeply"),
}
CHEATS = {
    "given": f"{package.GIVEN}\ndef param_shapes():\n    return {{}}\n",
    "not written": "def param_shapes():\n    raise NotImplementedError\n",
    "ends the process": "def param_shapes(*sizes):\n    import os\n    os._exit(0)\n",
    "floods": (
        "def param_shapes(*sizes):\n    import os\n    line = b'{\"done\": true}\\n' * 10_000\n"
        "    while True:\n        for channel in range(3, 9):\n            try:\n"
        "                os.write(channel, line)\n            except OSError:\n"
        "                pass\n"
    ),
    "answers too deep": (
        "def param_shapes(*sizes):\n    import os\n    for channel in range(3, 9):\n"
        "        try:\n            os.write(channel, b'[' * 100_000 + b'\\n')\n"
        "        except OSError:\n            pass\n    return {}\n"
    ),
    "memory": "def param_shapes(*sizes):\n    return bytearray(10**11)\n",
    "writes on and on": (
        "def param_shapes(*sizes):\n    with open('big', 'wb') as file:\n"
        "        while True:\n            file.write(bytes(10**7))\n"
    ),
}


@pytest.mark.parametrize("text, why", NOT_HELD.values(), ids=NOT_HELD)
def test_a_claim_that_the_package_does_not_hold_is_left_open(text, why, tmp_path, monkeypatch):
    monkeypatch.setattr(confirming, "judge_package", None)  # and nothing of it runs
    claims = {SHAPES: right_pieces("autoencoder", [2])[SHAPES]}
    write_claims(tmp_path / "oak", claims, shapes=text)
    states, said, all_right = judged(tmp_path)
    assert states == {"autoencoder/2/param_shapes": ""} and not all_right
    assert said[1].startswith("oak  autoencoder/2/param_shapes: not judged: ") and why in said[1]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no pipes in folders, and no owners")
def test_of_a_package_plain_modules_alone_are_read(tmp_path):
    work = tmp_path / "oak" / "work"
    write(work / "gnn" / "model.py", b"x = 1")
    write(work / "gnn" / "large.py", b"#" * (MOST_IN_MODULE + 1))
    write(work / "gnn" / "notes.txt", b"ours")
    (work / "gnn" / "link.py").symlink_to("model.py")
    (work / "gnn" / "folder.py").mkdir()
    os.mkfifo(work / "gnn" / "pipe.py")
    (work / "linked").symlink_to("gnn")
    place, user = Path("oak", "work"), os.geteuid()
    assert package_in(tmp_path, place / "gnn", user) == {"model.py": b"x = 1"}
    assert package_in(tmp_path, place / "gnn", user + 1) == {}
    assert package_in(tmp_path, place / "linked") == package_in(tmp_path, place / "none") == {}
    for number in range(2 * MOST_MODULES):
        write(work / "many" / f"m{number}.py", b"")
    assert len(package_in(tmp_path, place / "many")) == MOST_MODULES


def test_a_log_without_a_package_beside_it_is_left_open(tmp_path):
    claims = right_pieces("autoencoder", [2])
    write_claims(tmp_path / "work", claims)
    logs = tmp_path / "logs"
    write(logs / "oak.jsonl", (tmp_path / "work" / "log.jsonl").read_bytes())
    (logs / "elm").mkdir()
    shutil.copy(tmp_path / "work" / "log.jsonl", logs / "elm")
    (logs / "elm" / "autoencoder").symlink_to(tmp_path / "work" / "autoencoder")
    _, said, all_right = judged(logs)
    lone = "no autoencoder/ lies beside its log. Copy the pair's whole work/"
    assert said[1:] == [
        *(f"{pair}  autoencoder/2/{piece}: not judged: {lone}"
          for pair in ("elm", "oak") for piece in ("activation_shapes", "param_shapes")),
        "0 of 4 claims confirmed.",
    ]  # fmt: skip
    before = {"autoencoder/2/param_shapes": {"state": "right", "of": digest_of("another text")}}
    confirming.keep(logs, "oak", before)
    assert not judged(logs)[2]  # what was right of another text


@pytest.mark.slow(but=1)
@pytest.mark.parametrize("source", CHEATS.values(), ids=CHEATS)
def test_no_cheat_is_confirmed_and_the_others_are_judged(source, tmp_path, monkeypatch):
    monkeypatch.setattr(judge, "SILENCE", 30)
    right = right_pieces("autoencoder", [2])
    write_claims(tmp_path / "oak", {**right, SHAPES: source})
    states, _, all_right = judged(tmp_path)
    assert states == {
        "autoencoder/2/param_shapes": "wrong", "autoencoder/2/activation_shapes": "right",
    }  # fmt: skip
    assert not all_right


@pytest.mark.skipif(os.name == "nt", reason="Windows has neither limits nor groups of processes")
def test_what_is_judged_is_limited_and_what_it_starts_ends_with_it(tmp_path):
    claims, pid = right_pieces("autoencoder", [2]), tmp_path / "pid"
    begins = f"""\
def param_shapes(pixels=64, hidden=32, code=8):
    import pathlib, resource, subprocess
    from reimpl_helpers.base.limits import LIMITS
    for name, most in LIMITS.items():
        assert resource.getrlimit(getattr(resource, name))[1] <= most
    child = subprocess.Popen(["sleep", "600"], stdout=subprocess.DEVNULL)
    pathlib.Path({str(pid)!r}).write_text(str(child.pid))
"""
    _, _, body = claims[SHAPES].partition('"""\n')
    write_claims(tmp_path / "oak", {SHAPES: begins + body})
    states, _, _ = judged(tmp_path)
    assert states == {"autoencoder/2/param_shapes": "right"}
    until = time.monotonic() + 5
    while is_running(int(pid.read_text())) and time.monotonic() < until:
        time.sleep(0.05)
    assert not is_running(int(pid.read_text()))


def is_running(pid):
    try:
        os.kill(pid, 0)
        return "(sleep) Z" not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


@pytest.mark.parametrize(
    "content",
    [
        "", "[]", "null", '{"autoencoder/1/encoder": 1}', '{"autoencoder/1/encoder": {}}',
        '{"autoencoder/1/encoder": {"state": "right"}}', "[" * 10**5, "\xff",
        '{"autoencoder/1/encoder": {"state": "<b>", "of": "x"}}',
    ],
)  # fmt: skip
def test_a_damaged_verdict_is_none(content, tmp_path):
    write(tmp_path / ".confirmed" / "oak.json", content.encode("latin-1"))
    assert confirmed_in(tmp_path) == {"oak": {}}


def test_verdicts_are_read_through_no_link(tmp_path):
    told = {"autoencoder/1/encoder": {"state": "right", "of": "x"}}
    write(tmp_path / "logs" / ".confirmed" / "elm.json", json.dumps(told).encode())
    assert confirmed_in(tmp_path / "logs") == {"elm": told}
    (tmp_path / "logs" / ".confirmed" / "oak.json").symlink_to("elm.json")
    assert confirmed_in(tmp_path / "logs")["oak"] == {}
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / ".confirmed").symlink_to(tmp_path / "logs" / ".confirmed")
    assert confirmed_in(tmp_path / "other") == {"elm": {}, "oak": {}}


# --- pictures of the day ----------------------------------------------------------------------


def write_day(folder, pairs=27):
    for number in range(pairs):
        write(
            folder / f"pair {number} $\\frac$ 林.jsonl",
            line(0),
            line(1, "prediction", piece="nn_layer", said="3", navigator="", came_true=number > 3),
            check(number % 9 + 1, "nn_layer"),
            line(10, "score", step=4, caught=number, mistakes=30),
        )


def test_a_day_is_drawn_and_nothing_is_overwritten(tmp_path):
    write_day(tmp_path / "logs")
    facts = facts_in(tmp_path / "logs")
    names = [path.name for path in write_charts(facts, tmp_path / "charts")]
    assert names == [
        "minutes-autoencoder-01.png", "predictions.png", "predictions-2.png",
        "scores-autoencoder.png", "scores-autoencoder-2.png",
    ]  # fmt: skip
    before = {path: path.read_bytes() for path in (tmp_path / "charts").iterdir()}
    assert all(content.startswith(b"\x89PNG") for content in before.values())
    (tmp_path / "charts" / "predictions.png").unlink()
    with pytest.raises(WorkbookError, match=r"has minutes-autoencoder-01\.png, predictions-2\.png"):
        write_charts(facts, tmp_path / "charts")
    assert not (tmp_path / "charts" / "predictions.png").exists()


def test_pictures_say_what_they_show(tmp_path):
    write_day(tmp_path, 5)
    minutes, predictions, scores = (picture for _, picture in charts_of(facts_in(tmp_path)))
    assert minutes.alt == (
        "autoencoder 01 The forward pass, minutes in the median: nn_layer 3 (planned 8, 5 right)."
    )
    assert predictions.alt.endswith("pair 3 $\\frac$ 林 0 of 1, pair 4 $\\frac$ 林 1 of 1.")
    assert scores.alt.endswith("pair 4 $\\frac$ 林 4 of 30.")
    for picture in (minutes, predictions, scores):
        sizes = [text.get_fontsize() for text in picture.findobj(Text) if text.get_text()]
        assert min(sizes) >= 9
    (axes,) = minutes.axes
    dots, median, planned, *_ = (each.get_offsets()[:, 0].tolist() for each in axes.collections)
    assert (sorted(dots), median, planned) == ([1, 2, 3, 4, 5], [3], [8])


def test_a_day_without_anything_is_not_drawn(tmp_path):
    write(tmp_path / "oak.jsonl", line(0))
    with pytest.raises(WorkbookError, match="nothing to draw"):
        write_charts(facts_in(tmp_path), tmp_path / "charts")


# --- the command ------------------------------------------------------------------------------


def test_the_command_prints_draws_and_judges(room, capsys, monkeypatch):
    assert cli.main(["board", str(room), "--text"]) == 0
    assert capsys.readouterr().out.startswith("Waiting for help:\n  ash ")
    assert cli.main(["board", str(room), "--csv", "--hide-names"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("pair,track,step,") and "pair 3,autoencoder,1,nn_layer" in said
    assert "oak" not in said
    assert cli.main(["board", str(room), "--charts", str(room / "charts")]) == 0
    assert capsys.readouterr().out.splitlines()[0] == str(
        room / "charts" / "minutes-autoencoder-01.png"
    )
    assert cli.main(["board", str(room), "--charts", str(room / "charts")]) == 2
    assert cli.main(["board", str(room / "charts"), "--text"]) == 2
    assert "holds no log" in capsys.readouterr().err
    monkeypatch.setattr(confirming, "confirm", lambda folder, say, hidden: not hidden)
    assert cli.main(["board", str(room), "--confirm"]) == 0
    assert cli.main(["board", str(room), "--confirm", "--hide-names"]) == 1
