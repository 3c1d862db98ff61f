"""Every exercise has a question to the navigator, and its answer is what the original gives."""

import numpy as np
import pytest

from reimpl_helpers.checks.cases import Case, Piece
from reimpl_helpers.pair.predictions import SIGNS, VERDICTS, Question, about_answer, question_about
from reimpl_helpers.tracks.track import Track, tracks

EXERCISES = [
    pytest.param(name, step, place, id=f"{name}, step {step}, {piece.label}")
    for name in tracks()
    for step in range(1, Track.at_end(name).step + 1)
    for place, piece in enumerate(Track(name, step).pieces)
    if piece.step == step
]


@pytest.mark.parametrize("name, step, place", EXERCISES)
def test_every_exercise_has_a_question_that_its_truth_answers(name, step, place):
    track = Track(name, step)
    question = question_about(track, track.pieces[place])
    assert question.text.startswith(track.pieces[place].name) and question.text.endswith("?")
    if question.truth is None:
        assert question.choices == VERDICTS
    else:
        assert question.read(question.truth) == question.truth


def test_the_truth_is_what_the_original_gives():
    track = Track("autoencoder", 1)
    question = question_about(track, track.piece("encoder"))
    assert question.text == "encoder on “ordinary” with x (5, 64): which shape comes out?"
    seen = track.recording.probes["ordinary"].results["encoder"]
    assert question.truth == ", ".join(map(str, seen.shape))


@pytest.mark.parametrize(
    "said, read",
    [
        ("(5, 8)", "5, 8"),
        ("5,8", "5, 8"),
        ("batch 5, code 08", "5, 8"),
        ("5 by 8", "5, 8"),
        ("(batch, code)", None),
        ("", None),
        ("9" * 50_000, None),
    ],
)
def test_a_shape_is_read_however_it_is_written(said, read):
    assert Question("?", (), "5, 8").read(said) == read


@pytest.mark.parametrize("said, read", [(" Yes ", "yes"), ("no", "no"), ("maybe", None)])
def test_a_choice_is_one_of_those_there_are(said, read):
    assert Question("?", VERDICTS).read(said) == read


@pytest.mark.parametrize("value, sign", [(-0.5, SIGNS[0]), (0.0, SIGNS[1]), (3, SIGNS[2])])
def test_a_number_is_asked_for_its_sign(value, sign):
    question = about_answer("loss", np.array(value))
    assert (question.choices, question.truth) == (SIGNS, sign)


def test_of_nested_dicts_one_entry_is_asked_for():
    answer = {"bias": np.zeros(7), "layer": {"weight": np.zeros((3, 7))}}
    question = about_answer("params", answer)
    assert question.text == "params: which shape stands at ['layer']['weight']?"
    assert question.truth == "3, 7"


def test_sizes_that_are_drawn_are_not_asked_for():
    def draw(key):
        return np.zeros((key, 2))

    cases = [Case("drawn", call=lambda piece: [piece(1), piece(2)])]
    piece = Piece("draw", "data", 5, lambda recording: cases)

    class AnyTrack:
        recording = None

        def given(self, piece):
            return draw

    assert question_about(AnyTrack(), piece).choices == VERDICTS
