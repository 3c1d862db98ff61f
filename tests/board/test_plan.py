"""The timetable of a workshop: all of it fits, and what is left out is not missed."""

import json
from datetime import UTC, datetime, timedelta
from itertools import cycle, pairwise

import pytest

from reimpl_helpers import cli
from reimpl_helpers.base.errors import WorkbookError
from reimpl_helpers.board import plan
from reimpl_helpers.board.logs import logs_in
from reimpl_helpers.board.plan import BREAK, CLOSING, WELCOME, minute_of, plan_day
from reimpl_helpers.pair.log import Log
from reimpl_helpers.tracks.notebooks import outlines_of
from reimpl_helpers.tracks.track import tracks

DAYS = (  # when a day begins, and how many minutes it has: with a lunch and without
    ("08:00", 120), ("09:30", 150), ("13:00", 180), ("09:30", 240),
    ("13:00", 600), ("08:00", 420), ("09:30", 300), ("08:00", 600),
)  # fmt: skip


@pytest.fixture(params=zip(cycle(tracks()), DAYS, strict=False), ids=str, scope="module")
def day(request):
    name, (start, length) = request.param
    return plan_day(name, minute_of(start), minute_of(start) + length)


def test_nothing_overlaps_and_everything_is_within_the_time(day):
    assert all(before.end == after.start for before, after in pairwise(day.slots))
    assert day.slots[-1].end <= day.until
    assert day.slots[0].minutes == WELCOME and day.slots[-1].minutes == CLOSING


def test_nobody_sits_longer_than_a_sitting(day):
    sitting = 0
    for slot in day.slots:
        sitting = 0 if slot.is_break else sitting + slot.minutes
        assert sitting <= 90
    assert all(slot.minutes >= BREAK for slot in day.slots if slot.is_break)


def test_notebooks_come_in_order_and_their_minutes_add_up(day):
    steps = [slot.step for slot in day.slots if slot.step]
    assert steps == sorted(steps)
    assert [n.step for n in day.notebooks + day.at_home] == [n.step for n in outlines_of(day.track)]
    for notebook in day.notebooks:
        planned = sum(slot.minutes for slot in day.slots if slot.step == notebook.step)
        saved = sum(e.minutes - plan.LOOK for e in day.left_out if e.step == notebook.step)
        assert planned == notebook.minutes - saved


def test_swaps_are_in_their_line_and_apart(day):
    for slot in day.slots:
        assert all(slot.start <= swap <= slot.end for swap in slot.swaps)
    for notebook in day.notebooks:
        swaps = [swap for slot in day.slots if slot.step == notebook.step for swap in slot.swaps]
        assert swaps == sorted(set(swaps))


def test_what_is_left_out_is_needed_by_nothing_that_is_kept(day):
    assert all(exercise.is_free and exercise.step > 1 for exercise in day.left_out)
    for notebook in day.notebooks:
        kept = [e for e in notebook.exercises if e not in day.left_out]
        assert len(kept) >= len(notebook.exercises) / 2


@pytest.mark.parametrize("name", tracks())
def test_nothing_that_is_needed_may_ever_be_left_out(name):
    assert all(exercise.is_free for exercise in plan.order_of_leaving_out(outlines_of(name)))


def test_no_time_is_given_away_while_something_is_left_out(day):
    for exercise in day.left_out:
        slots = plan.lay_out(
            plan.blocks_of(day.notebooks, day.left_out - {exercise}), day.slots[0].start
        )
        assert slots[-1].end > day.until, f"{exercise.name} would have found room"


def test_it_can_be_read_in_a_terminal_and_names_everything(day):
    text = str(day)
    assert all(len(line) <= plan.WIDTH for line in text.splitlines())
    flat = " ".join(text.split())
    for notebook in day.notebooks:
        assert all(exercise.name in flat for exercise in notebook.exercises)
    assert all(str(notebook) in flat for notebook in day.at_home)


def test_a_long_day_has_lunch_and_leaves_nothing_out():
    day = plan_day("gnn", minute_of("09:00"), None)
    (lunch,) = [slot for slot in day.slots if slot.text == "Lunch"]
    assert lunch.start in plan.LUNCHTIME and lunch.minutes == plan.LUNCH
    assert not day.left_out and not day.at_home
    assert str(day).endswith("Nothing is left out.")


def test_an_exercise_is_needed_by_one_that_calls_it_until_the_workbook_hands_it_out():
    first, *_, last, _ = outlines_of("gnn")
    assert [e.name for e in first.exercises if not e.is_free] == [
        "send_messages", "sum_by_index", "readout",
    ]  # fmt: skip
    assert "make_gnn_params" in [e.name for e in last.exercises if not e.is_free]
    assert all(e.is_free for e in outlines_of("gnn")[3].exercises)  # tests


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["nothing"], "there is no track `nothing`"),
        (["gnn", "--start", "25:00"], "is no time of the day"),
        (["gnn", "--start", "9"], "is no time of the day"),
        (["gnn", "--start", "12:00", "--until", "11:00"], "11:00 is not after 12:00"),
        (["gnn", "--start", "23:00", "--until", "01:00"], "past midnight is two"),
        (["gnn", "--start", "09:00", "--until", "09:30"], "hold no notebook of gnn"),
        (["gnn", "--start", "22:00"], "would go past midnight"),
    ],
)
def test_a_day_that_cannot_be_is_refused(arguments, words, capsys):
    assert cli.main(["plan", *arguments]) == 2
    assert words in capsys.readouterr().err


# --- beside what it took ---


def write_log(path, minutes, name="autoencoder"):
    """Write the log of a pair that gets the exercises of notebook 01 right after these minutes."""
    now = datetime(2026, 1, 1, 9, tzinfo=UTC)
    events = [{"event": "start", "track": name, "step": 1}]
    for piece, took in minutes.items():
        events.append(
            {"event": "check", "track": name, "step": 1, "piece": piece, "state": "right",
             "source": "", "took": took}
        )  # fmt: skip
    lines = []
    for event in events:
        now += timedelta(minutes=event.pop("took", 0))
        lines.append(json.dumps({"at": now.isoformat(), **event}))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines), "utf-8")


def test_minutes_that_are_off_are_named(tmp_path, capsys):
    for number, took in enumerate((4, 5, 6)):
        write_log(tmp_path / f"pair-{number}.jsonl", {"nn_layer": took, "encoder": 9})
    write_log(tmp_path / "oak" / "log.jsonl", {"nn_layer": 9})
    assert cli.main(["plan", "autoencoder", "--logs", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "autoencoder, 4 pairs" in said
    line, *_ = [line for line in said.splitlines() if line.endswith("  nn_layer")]
    assert line.split() == ["9", "6", "4-9", "4", "0", "nn_layer"]
    line, *_ = [line for line in said.splitlines() if line.endswith("  encoder")]
    assert line.split() == ["7", "9", "9-9", "3", "1", "encoder"]
    said = " ".join(said.split())
    assert "nn_layer in 01 (9 planned, 6 measured)" in said
    assert "encoder in 01 (7 planned, 9 measured)" in said


def test_two_pairs_are_too_few_to_correct_by(tmp_path):
    for number in (1, 2):
        write_log(tmp_path / f"{number}.jsonl", {"nn_layer": 1})
    said = " ".join(plan.compare("autoencoder", logs_in(tmp_path)).split())
    assert "too few to correct anything by" in said and "Correct the minutes" not in said


def test_a_folder_without_a_log_and_a_track_nobody_opened_are_said(tmp_path):
    with pytest.raises(WorkbookError, match="holds no log"):
        logs_in(tmp_path)
    Log(tmp_path / "oak").append("start", track="gnn", step=1)
    with pytest.raises(WorkbookError, match="opened a notebook of mlstm"):
        plan.compare("mlstm", logs_in(tmp_path))
