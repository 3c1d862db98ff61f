"""Two people at one notebook: they swap, predict, and everything is in their log."""

import threading
from datetime import UTC, datetime, timedelta

import pytest
from test_workbook import ENCODER, IMPORTS, NN_LAYER, Notebook

from reimpl_helpers.base.errors import WorkbookError
from reimpl_helpers.checks.verdict import NOT_WRITTEN, PREDICT
from reimpl_helpers.judge.pieces import judge_piece
from reimpl_helpers.pair import log, pairing
from reimpl_helpers.pair.log import Log
from reimpl_helpers.pair.pairing import TURN, name_here
from reimpl_helpers.pair.store import Store
from reimpl_helpers.pair.summary import Summary
from reimpl_helpers.tracks.track import Track
from reimpl_helpers.widgets import RolesBar
from reimpl_helpers.workbook import Workbook, start

COUNTERPARTS = """
def numpy_counterparts():
    return {
        "linear": lambda x, weight, bias: x @ weight.T + bias,
        "relu": lambda x: np.maximum(x, 0),
        "tanh": lambda x: np.tanh(x),
        "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    }
"""
STUB = """
def encoder(params, x):
    raise NotImplementedError
"""


class Clock(datetime):
    """A clock that a test sets forward."""

    ahead = timedelta()

    @classmethod
    def now(cls, zone=None):
        return datetime.now(zone) + cls.ahead


@pytest.fixture
def clock(monkeypatch):
    monkeypatch.setattr(Clock, "ahead", timedelta())
    monkeypatch.setattr(log, "datetime", Clock)
    monkeypatch.setattr(pairing, "datetime", Clock)

    def forward(**time):
        Clock.ahead += timedelta(**time)

    return forward


class Desk:
    """A notebook of the autoencoder, with Ada and Grace in front of it."""

    def __init__(self, work, step=1):
        self.work = work
        self.track = Track("autoencoder", step)
        self.workbook = Workbook(Store(self.track, work / "autoencoder"))
        self.pair = self.workbook.pair
        self.notebook = Notebook(IMPORTS)

    def check(self, cell):
        self.notebook.run(cell)
        return self.workbook.check(self.notebook[cell.split("def ")[1].partition("(")[0]])

    def solve(self, cell, name):
        self.workbook.predict(name)
        verdict = self.check(cell)
        assert verdict.right, verdict
        return verdict

    def events(self, kind):
        return [event for event in Log(self.work).read() if event["event"] == kind]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Say who is here."""
    monkeypatch.setenv("REIMPL_PAIR", str(tmp_path / "names"))
    return lambda *names: name_here(tmp_path / "names", names)


@pytest.fixture
def desk(tmp_path, here, clock):
    here("Ada", "Grace")
    return Desk(tmp_path / "work")


def roles(desk):
    return desk.pair.turn.driver, desk.pair.turn.navigator


# --- turns ---


def test_the_first_named_drives_first(desk):
    assert roles(desk) == ("Ada", "Grace")
    assert [event["why"] for event in desk.events("turn")] == ["start"]


def test_a_swap_turns_the_roles_round(desk):
    assert str(desk.workbook.swap()).startswith("Grace drives, Ada navigates; 10 minutes")
    desk.workbook.swap()
    assert roles(desk) == ("Ada", "Grace")


def test_roles_outlive_the_kernel(desk):
    desk.workbook.swap()
    again = Desk(desk.work, step=2)
    assert roles(again) == ("Grace", "Ada")
    assert again.pair.turn.number == 2


def test_who_comes_back_after_a_pause_gets_a_whole_turn(desk, clock):
    desk.workbook.swap()
    clock(hours=3)
    again = Desk(desk.work)
    assert roles(again) == ("Grace", "Ada")
    assert again.pair.turn.ends > datetime.now(UTC) + timedelta(hours=3) + TURN * 0.9


def test_of_two_who_ask_for_the_same_swap_one_gets_it(desk):
    desks = [desk, *(Desk(desk.work) for _ in range(7))]
    number, got = desk.pair.turn.number, []
    threads = [
        threading.Thread(target=lambda d=d: got.append(d.pair.swap("clock", number))) for d in desks
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got) == [False] * 7 + [True]
    assert roles(desk) == ("Grace", "Ada")


def test_another_pair_in_the_same_folder_starts_afresh(desk, here):
    desk.workbook.swap()
    here("Mary", "Joan")
    assert roles(Desk(desk.work)) == ("Mary", "Joan")


def test_three_take_turns_each_navigates_before_driving(tmp_path, here):
    here("Ada", "Grace", "Joan")
    desk, seen = Desk(tmp_path / "work"), []
    for _ in range(4):
        seen.append((*roles(desk), *desk.pair.also_here))
        desk.workbook.swap()
    assert seen == [
        ("Ada", "Grace", "Joan"),
        ("Grace", "Joan", "Ada"),
        ("Joan", "Ada", "Grace"),
        ("Ada", "Grace", "Joan"),
    ]
    assert str(desk.pair).startswith("Grace drives, Joan navigates, Ada is next; 10 minutes")


def test_who_joins_is_next_and_who_leaves_is_missed_in_no_turn(desk, here):
    desk.workbook.swap()
    here("Ada", "Grace", "Joan")
    assert (roles(desk), desk.pair.also_here) == (("Grace", "Ada"), ["Joan"])
    desk.workbook.swap()
    assert roles(desk) == ("Ada", "Grace")
    desk.workbook.swap()
    assert roles(desk) == ("Grace", "Joan")
    here("Ada", "Joan")
    assert sorted(roles(desk)) == ["Ada", "Joan"]
    desk.workbook.swap()
    assert sorted(roles(desk)) == ["Ada", "Joan"]
    here("Joan")  # the bar stays as it was: nobody is there to swap with
    assert sorted(roles(desk)) == ["Ada", "Joan"]


@pytest.mark.parametrize("names", [[], ["Ada"], ["Ada", "Ada", ""]])
def test_without_two_names_there_is_no_pair(names, tmp_path, here):
    here(*names)
    workbook = Workbook(Store(Track("autoencoder", 1), tmp_path / "autoencoder"))
    assert workbook.pair is None
    assert 'PAIR="Ada,Grace"' in workbook.summary()
    with pytest.raises(WorkbookError, match="nobody is named here"):
        workbook.swap()


# --- predictions ---


def test_a_check_asks_for_a_prediction_first_and_judges_nothing(desk):
    verdict = desk.check(COUNTERPARTS)
    assert verdict.state == PREDICT
    assert "Grace first: numpy_counterparts on “ordinary”: how many entries" in str(verdict)
    assert "? numpy_counterparts" in verdict._repr_html_().replace("</b>", "").replace("<b>", "")
    assert desk.events("check") == [] and not desk.pair.done


def test_then_it_judges_says_how_the_prediction_fared_and_swaps(desk):
    desk.check(COUNTERPARTS)
    assert str(desk.workbook.predict("numpy_counterparts", "4 of them")) == (
        "Grace said 4 about numpy_counterparts. Now the check."
    )
    verdict = desk.check(COUNTERPARTS)
    assert str(verdict).endswith("Grace said 4, and so it is. Swap: Grace drives now.")
    assert roles(desk) == ("Grace", "Ada")
    (kept,) = desk.events("check")
    assert (kept["driver"], kept["state"], kept["source"]) == (
        "Ada",
        "right",
        COUNTERPARTS.lstrip(),
    )


def test_a_wrong_prediction_is_said_to_be_wrong(desk):
    desk.workbook.predict("numpy_counterparts", "7")
    assert "Grace said 7, and it is not." in str(desk.check(COUNTERPARTS))


def test_a_verdict_is_predicted_by_the_first_one_that_follows(desk):
    port = Desk(desk.work, step=5)
    port.workbook.predict("nn_layer", "no")
    wrong = NN_LAYER.replace("np.", "jnp.").replace("+ bias", "")
    assert not port.check(wrong).right
    assert "Grace said no, and so it is." in str(port.check(NN_LAYER.replace("np.", "jnp.")))


def test_the_first_word_counts(desk):
    desk.workbook.predict("numpy_counterparts", "7")
    assert "The first word counts" in desk.workbook.predict("numpy_counterparts", "4")
    assert [event["said"] for event in desk.events("prediction")] == ["7"]


def test_who_passes_is_not_asked_again(desk):
    assert "No prediction about numpy_counterparts" in desk.workbook.predict("numpy_counterparts")
    verdict = desk.check(COUNTERPARTS)
    assert verdict.right and "said" not in str(verdict)


@pytest.mark.parametrize("said", ["many", "(batch, code)", "<b>", "…" * 10_000])
def test_what_is_no_answer_is_not_kept(desk, said):
    answer = desk.workbook.predict("numpy_counterparts", said)
    assert "does not answer the question. Say numbers" in answer and len(answer) < 200
    assert desk.events("prediction") == []


def test_a_piece_of_another_notebook_is_not_asked_for_here(desk):
    assert "is no exercise of this notebook" in desk.workbook.predict("mse_loss", "1")
    assert desk.events("prediction") == []


def test_an_exercise_not_written_yet_needs_no_prediction(desk):
    verdict = desk.check(STUB)
    assert verdict.state == NOT_WRITTEN
    assert [event["state"] for event in desk.events("check")] == [NOT_WRITTEN]


def test_the_question_at_hand_is_of_the_check_that_waits(desk):
    assert desk.pair.at_hand() == "numpy_counterparts"
    assert desk.check(NN_LAYER).state == PREDICT  # they skipped one
    assert desk.pair.at_hand() == "nn_layer"
    desk.solve(NN_LAYER, "nn_layer")
    assert desk.pair.at_hand() == "numpy_counterparts"


# --- checks ---


def test_a_piece_that_is_right_again_swaps_nobody(desk):
    desk.solve(COUNTERPARTS, "numpy_counterparts")
    for _ in range(2):
        verdict = desk.check(COUNTERPARTS)
        assert verdict.right and "Swap" not in str(verdict)
    assert roles(desk) == ("Grace", "Ada")


def test_two_who_run_the_same_check_at_once_swap_once_and_save_once(desk):
    desk.workbook.predict("nn_layer", "5, 32")
    other = Desk(desk.work)
    for each in (desk, other):
        each.notebook.run(NN_LAYER)
    verdicts, ready = [], threading.Barrier(2)

    def check(each):
        ready.wait()
        verdicts.append(each.pair.checked(each.track.piece("nn_layer"), right, NN_LAYER))

    right = judge_piece(desk.track, desk.track.piece("nn_layer"), desk.notebook["nn_layer"])
    threads = [threading.Thread(target=check, args=(each,)) for each in (desk, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum("Swap: Grace drives now." in said for said in verdicts) == 1
    assert roles(desk) == ("Grace", "Ada") and len(desk.events("check")) == 2


def test_without_a_pair_checks_are_logged_all_the_same(tmp_path, monkeypatch):
    monkeypatch.delenv("REIMPL_PAIR", raising=False)
    desk = Desk(tmp_path / "work")
    assert str(desk.check(COUNTERPARTS)).endswith("Swap: the navigator drives now.")
    (kept,) = desk.events("check")
    assert kept["source"] and "driver" not in kept


def test_a_log_that_takes_nothing_stops_no_check(desk):
    desk.pair.log.path.unlink()
    desk.pair.log.path.mkdir()
    verdict = desk.check(NN_LAYER)
    assert verdict.state == PREDICT
    desk.workbook.predict("nn_layer", "5, 32")
    verdict = desk.check(NN_LAYER)
    assert verdict.right and "Saved to model.py" in str(verdict)
    assert "log.jsonl cannot be written" in str(verdict)
    desk.pair.log.path.rmdir()
    desk.workbook.swap()
    assert len(desk.events("check")) == 1 and len(desk.events("prediction")) == 1


# --- help ---


def test_a_hand_stays_up_until_it_is_lowered(desk):
    assert "board" in desk.workbook.raise_hand() and desk.pair.hand_is_up
    assert "Your hand is up" in str(desk.pair)
    assert Desk(desk.work, step=2).pair.hand_is_up, "in every notebook of theirs"
    assert desk.workbook.lower_hand() == "Your hand is down." and not desk.pair.hand_is_up
    assert "hand" not in str(desk.pair)


def test_a_hand_goes_down_when_one_more_piece_is_right(desk):
    desk.solve(COUNTERPARTS, "numpy_counterparts")
    desk.workbook.raise_hand()
    desk.workbook.predict("nn_layer")
    assert not desk.check(NN_LAYER.replace("+ bias", "- bias")).right and desk.pair.hand_is_up
    assert desk.check(COUNTERPARTS).right and desk.pair.hand_is_up, "they had it before"
    assert desk.check(NN_LAYER).right and not desk.pair.hand_is_up


def test_a_hand_is_up_since_it_was_raised_first(desk, clock):
    for _ in range(2):
        desk.workbook.raise_hand()
        clock(minutes=1)
    assert [event["raised"] for event in desk.events("hand")] == [True]
    twice = desk.events("hand") + [{**desk.events("hand")[0], "at": "2026-01-01"}]
    assert pairing.hand_in(twice) == twice[0]
    desk.workbook.lower_hand(), desk.workbook.lower_hand()
    assert [event["raised"] for event in desk.events("hand")] == [True, False]


def test_one_person_may_raise_a_hand_too(tmp_path, monkeypatch):
    monkeypatch.delenv("REIMPL_PAIR", raising=False)
    desk = Desk(tmp_path / "work")
    assert "board" in desk.workbook.raise_hand()
    assert [event["raised"] for event in desk.events("hand")] == [True]
    assert desk.check(COUNTERPARTS).right and pairing.hand_in(Log(desk.work).read()) is None


# --- what a log tells of mistakes ---


def test_a_check_tells_which_planted_bug_an_answer_equals(desk):
    desk.workbook.predict("nn_layer")
    desk.check(NN_LAYER.replace("+ bias", "- bias"))
    desk.check(NN_LAYER.replace("+ bias", "* bias - 3"))
    desk.check(NN_LAYER)
    first, second, right = desk.events("check")
    assert first["mistake"] == "bias subtracted" and desk.track.bug(first["mistake"])
    assert "mistake" not in second and "mistake" not in right


# --- the bar ---


def sent(bar, **message):
    bar._handle_custom_msg(message, [])


def test_the_bar_says_who_drives_and_asks(desk):
    bar = RolesBar(desk.pair)
    facts = bar.facts
    assert (facts["driver"], facts["navigator"]) == ("Ada", "Grace")
    assert (facts["done"], facts["total"]) == (0, 5)
    assert abs(facts["ends"] / 1000 - desk.pair.turn.ends.timestamp()) < 1e-3
    assert facts["question"]["text"].startswith("Grace, before the check: numpy_counterparts")
    assert str(desk.pair) in bar._repr_mimebundle_()[0]["text/plain"]


def test_what_is_clicked_in_the_bar_is_done(desk):
    bar = RolesBar(desk.pair)
    sent(bar, do="swap", turn=bar.facts["turn"], why="clock")
    assert roles(desk) == ("Grace", "Ada") and bar.facts["driver"] == "Grace"
    sent(bar, do="predict", piece="numpy_counterparts", said="four")
    assert "Say numbers" in bar.facts["note"] and bar.facts["question"]
    sent(bar, do="predict", piece="numpy_counterparts", said="4")
    assert bar.facts["note"] == "Ada said 4 about numpy_counterparts. Now the check."
    assert bar.facts["question"] == {}
    desk.check(COUNTERPARTS)
    assert bar.facts["done"] == 1 and bar.facts["question"]["piece"] == "nn_layer"


def test_a_hand_is_raised_and_lowered_in_the_bar(desk):
    bar = RolesBar(desk.pair)
    assert bar.facts["hand"] is False
    for _ in range(2):  # both click at once
        sent(bar, do="hand", raised=True)
    assert bar.facts["hand"] is True and "Your hand is up" in bar.facts["note"]
    assert len(desk.events("hand")) == 1
    sent(bar, do="hand", raised=False)
    assert bar.facts["hand"] is False and "hand" not in bar.facts["note"]


def test_both_browsers_whose_clock_runs_out_swap_once(desk):
    bar = RolesBar(desk.pair)
    turn = bar.facts["turn"]
    for _ in range(2):
        sent(bar, do="swap", turn=turn, why="clock")
    assert roles(desk) == ("Grace", "Ada")


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"do": "swap"},
        {"do": "swap", "turn": "1", "why": "asked"},
        {"do": "swap", "turn": 1, "why": "because"},
        {"do": "swap", "turn": 99, "why": "asked"},
        {"do": "predict", "piece": "numpy_counterparts"},
        {"do": "predict", "piece": "../model", "said": "4"},
        {"do": "predict", "piece": 4, "said": []},
        {"do": "hand"},
        {"do": "hand", "raised": 1},
        {"do": "delete"},
    ],
)
def test_hostile_messages_change_nothing(desk, message):
    bar = RolesBar(desk.pair)
    before = Log(desk.work).read()
    sent(bar, **message)
    assert Log(desk.work).read() == before


def test_start_shows_the_bar_to_two_and_nothing_to_others(desk, here, monkeypatch, capsys):
    shown = []
    monkeypatch.setattr("IPython.display.display", shown.append)
    monkeypatch.setenv("REIMPL_WORK", str(desk.work))
    start("autoencoder", 1)
    assert [isinstance(each, RolesBar) for each in shown] == [True]
    start("autoencoder", 0)  # the start page asks for nothing
    here("Ada")
    start("autoencoder", 1)
    assert len(shown) == 1
    assert [event["step"] for event in desk.events("start")] == [1, 0, 1]


# --- the summary ---


def test_the_summary_shows_balance_predictions_and_what_took_longest(desk, clock):
    desk.workbook.log.append("start", track="autoencoder", step=1)
    clock(minutes=4)
    desk.workbook.predict("numpy_counterparts", "4")
    desk.check(COUNTERPARTS.replace("@", "*"))
    clock(minutes=2)
    desk.check(COUNTERPARTS)
    clock(minutes=3)
    desk.workbook.predict("nn_layer", "32, 5")
    desk.check(NN_LAYER)
    summary = Summary(desk.pair)
    assert repr(summary).splitlines()[:7] == [
        "Ada drove 6 minutes and 1 piece, Grace drove 3 minutes and 1 piece.",
        "numpy_counterparts took longest: 6 minutes, 2 checks.",
        "1 of 2 predictions came true.",
        "",
        "piece               drove  minutes  checks  prediction",
        "numpy_counterparts  Ada    6        2       Grace: 4    came true",
        "nn_layer            Grace  3        1       Ada: 32, 5  came otherwise",
    ]
    assert "flex: 6.0" in summary._repr_html_()


def test_a_long_pause_counts_as_one_turn(desk, clock):
    desk.workbook.log.append("start", track="autoencoder", step=1)
    clock(hours=15)
    desk.solve(COUNTERPARTS, "numpy_counterparts")
    assert Summary(desk.pair).spent["numpy_counterparts"] == pytest.approx(10, abs=0.1)


def test_time_at_another_notebook_is_not_counted(desk, clock):
    desk.workbook.log.append("start", track="autoencoder", step=1)
    clock(minutes=1)
    desk.workbook.log.append("start", track="gnn", step=1)
    clock(minutes=5)
    desk.workbook.swap()
    clock(minutes=2)
    desk.workbook.log.append("start", track="autoencoder", step=1)
    driven = Summary(desk.pair).driven
    assert (driven["Ada"], driven["Grace"]) == pytest.approx((1, 0), abs=0.1)


def test_names_and_words_are_shown_as_text(tmp_path, here):
    here("<i>Ada</i>", "</td><script>")
    desk = Desk(tmp_path / "work")
    desk.solve(COUNTERPARTS, "numpy_counterparts")
    page = Summary(desk.pair)._repr_html_()
    assert "<script" not in page and "<i>" not in page and "&lt;script&gt;" in page


def test_hostile_events_do_not_break_a_summary(desk):
    here = {"track": "autoencoder", "step": 1, "piece": "nn_layer"}
    desk.pair.log.append("check", **here, state="right", source="", driver=["x"], navigator=None)
    desk.pair.log.append("prediction", **here, said="\x00", navigator="</td>", came_true="yes")
    desk.pair.log.append("check", **{**here, "piece": "never"}, state="perfect", source="x")
    desk.pair.log.append("turn", number=-1, driver="Ada", navigator="Ada", why="?")
    assert "nn_layer" in repr(Summary(desk.pair)) and Summary(desk.pair)._repr_html_()
    assert roles(desk) == ("Ada", "Grace")
    assert ENCODER and desk.check(ENCODER).state == PREDICT
