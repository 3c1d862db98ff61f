"""Planted bugs: each edit applies exactly once, in its own piece, before and after the port."""

from dataclasses import replace

import pytest

from reimpl_helpers.base.errors import WorkbookError
from reimpl_helpers.texts.planted_bugs import Bug, read_bugs

MODEL = '''"""Doubles."""


def double(x):
    """Double a number, twice two is four."""
    return 2 * x


def quadruple(x):
    return double(double(x))


def half(x):
    return 0.25 * (2 * x)
'''


def bug(piece, old, new, **more):
    return Bug(piece, "a name", old, new, why="?", question="?", hint="?", **more)


def test_a_bug_is_planted_in_its_own_piece_only():
    text = bug("quadruple", "double(double(x))", "double(x)").plant(MODEL)
    assert text == MODEL.replace("double(double(x))", "double(x)")
    assert bug("half", "2 * x", "x").plant(MODEL) == MODEL.replace("(2 * x)", "(x)")


def test_a_piece_may_read_otherwise_before_its_port():
    early = MODEL.replace("2 * x", "x + x")
    wrong = bug("double", "2 * x", "3 * x", before_port=("x + x", "x + x + x"))
    assert wrong.plant(MODEL) == MODEL.replace("return 2 * x", "return 3 * x")
    assert wrong.plant(early, in_jax=False) == early.replace("return x + x", "return x + x + x")
    with pytest.raises(ValueError, match="stands 0 times in double"):
        wrong.plant(early)


@pytest.mark.parametrize(
    "piece, old, times",
    [("quadruple", "2 * x", 0), ("double", "3 * x", 0), ("nothing", "x", 0), ("quadruple", "x", 2)],
)
def test_an_edit_that_does_not_apply_once(piece, old, times):
    words = f"“a name”: .* stands {times} times in {piece}, expected once. Mend the edit"
    with pytest.raises(ValueError, match=words):
        bug(piece, old, "y").plant(MODEL)


BUG = """\
[[double]]
name = "a name"
why = "?"
question = "?"
hint = "?"
old = "2 * x"
new = "3 * x"
[double.before_port]
old = "x + x"
new = "x + x + x"
"""


def test_planted_bugs_are_read_piece_by_piece(tmp_path):
    path = tmp_path / "planted_bugs.toml"
    path.write_text(f"{BUG}\n{BUG.replace('double', 'half')}", "utf-8")
    double = bug("double", "2 * x", "3 * x", before_port=("x + x", "x + x + x"))
    assert read_bugs(path) == [double, replace(double, piece="half")]


@pytest.mark.parametrize(
    "old, new, said",
    [
        ("name = ", "name ", "is not TOML: Expected '='"),
        ('hint = "?"', "", "of double .“a name”. is none: hint is missing. Give it the parts"),
        ("hint", "hnit", "of double .“a name”. is none: hint is missing and hnit is unknown"),
        ('hint = "?"', "hint = 3", "of double .“a name”. is none: hint is int 3. Give"),
        ('name = "a name"', "", "of double .“without a name”. is none: name is missing"),
        ('new = "x + x + x"', "", "of double .“a name”. is none: its before_port new is missing"),
        ("[double.before_port]", "[double.before_prot]", "before_prot is unknown"),
        ("[[double]]", "[double]", r"double is dict .*expected planted bugs, each under \[\[dou"),
        (BUG, "double = 3", "double is int 3, expected planted bugs, each"),
        (
            BUG,
            "double = [3]",
            "of double .“no parts”. is none: it is int 3, expected parts with names",
        ),
    ],
)
def test_what_is_no_planted_bug_is_named(old, new, said, tmp_path):
    path = tmp_path / "planted_bugs.toml"
    path.write_text(BUG.replace(old, new, 1), "utf-8")
    with pytest.raises(WorkbookError, match=said):
        read_bugs(path)


@pytest.mark.parametrize("early", ["{}", '""', "false"])
def test_an_edit_before_the_port_that_is_none_is_named(early, tmp_path):
    path = tmp_path / "planted_bugs.toml"
    path.write_text(f"{BUG.partition('[double.')[0]}before_port = {early}\n", "utf-8")
    with pytest.raises(WorkbookError, match="its before_port (is|new is missing)"):
        read_bugs(path)


def test_a_list_of_planted_bugs_that_is_not_there_is_said(tmp_path):
    with pytest.raises(WorkbookError, match="cannot be read .No such file.*Put it back"):
        read_bugs(tmp_path / "planted_bugs.toml")
