"""Codes to log in with: given once, kept as digests, and slow to guess."""

import os
import re
import stat
import sys

import pytest

from reimpl_helpers.hub.codes import (
    CODES,
    FREE,
    LETTERS,
    LONGEST_WAIT,
    Codes,
    LoginThrottle,
    hand_out,
    sheet,
)
from reimpl_helpers.hub.roster import Roster

ROSTER = Roster({"oak": ("Ada", "Grace")}, ("Mary",))


@pytest.fixture
def codes(tmp_path):
    return Codes(tmp_path / CODES)


@pytest.fixture
def give(tmp_path):
    """Hand out codes to some people; read those that are new off the sheet."""

    def give(*people):
        page = hand_out(tmp_path, Roster({"oak": people}, ()), "http://127.0.0.1:1")
        lines = page.read_text("utf-8") if page else ""
        return dict(re.findall(r'Name <b>(.*?)</b></p><p>Code <b class="code">(.*?)</b>', lines))

    return give


def test_each_has_a_code_of_their_own_and_no_other_opens(codes, give):
    given = give("Ada", "Grace", "Mary")
    assert sorted(given) == ["Ada", "Grace", "Mary"] and len(set(given.values())) == 3
    assert all(codes.is_right(name, code) for name, code in given.items())
    assert not codes.is_right("Ada", given["Grace"]) and not codes.is_right("Ada", "")
    assert not codes.is_right("", given["Ada"]) and not codes.is_right("nobody", "")
    assert not codes.is_right("Ada", given["Ada"][:-1]) and not codes.is_right("Ada", "x" * 10**6)


def test_capitals_spaces_and_hyphens_do_not_matter(codes, give):
    code = give("Ada")["Ada"]
    assert codes.is_right("Ada", f" {code.upper().replace('-', ' ')} ")
    assert len(code) == 14 and set(code) <= {*LETTERS, "-"}


def test_codes_stay_until_somebody_leaves_the_roster(codes, give):
    first = give("Ada", "Grace")
    assert give("Ada", "Grace") == {}
    assert list(give("Ada", "Joan")) == ["Joan"]
    again = give("Ada", "Grace")
    assert list(again) == ["Grace"] and again["Grace"] != first["Grace"]
    assert codes.is_right("Ada", first["Ada"]) and not codes.is_right("Grace", first["Grace"])


def test_where_a_sheet_cannot_be_written_nobody_has_a_code_that_nobody_knows(
    codes, give, monkeypatch
):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            give("Ada")
    assert codes.read() == {} and not list(codes.path.parent.glob("sheet*"))
    assert list(give("Ada")) == ["Ada"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps no such bits")
def test_no_code_is_kept_but_on_the_sheet_and_both_files_are_closed_to_others(tmp_path):
    assert hand_out(tmp_path, ROSTER, "http://127.0.0.1:1") == tmp_path / "sheet-1.html"
    assert hand_out(tmp_path, ROSTER, "http://127.0.0.1:1") is None
    page, kept = (tmp_path / "sheet-1.html").read_text(), (tmp_path / "codes.json").read_text()
    codes = page.split('class="code">')[1:]
    assert len(codes) == 3 and all(code[:14] not in kept for code in codes)
    for name in ("sheet-1.html", "codes.json"):
        assert stat.S_IMODE(os.stat(tmp_path / name).st_mode) == 0o600, name
    more = Roster({"oak": ("Ada", "Grace", "Joan")}, ("Mary",))
    assert hand_out(tmp_path, more, "http://127.0.0.1:1") == tmp_path / "sheet-2.html"
    assert (tmp_path / "sheet-1.html").read_text() == page
    assert "Joan" in (tmp_path / "sheet-2.html").read_text()


def test_names_on_a_sheet_are_shown_as_text():
    page = sheet({"<script>": "abc"}, {"<script>": None}, "http://127.0.0.1:1")
    assert "<script" not in page and "&lt;script&gt;" in page and "Facilitator" in page


def test_whoever_gives_wrong_codes_waits_longer_each_time():
    clock = [0.0]
    throttle, ada = LoginThrottle(lambda: clock[0]), ("Ada", "127.0.0.1")
    waits = []
    for _ in range(FREE + 8):
        waits.append(throttle.wait(ada))
        clock[0] += waits[-1]
        throttle.was_wrong(ada)
    assert waits == [0.0] * FREE + [1, 2, 4, 8, 16, 32, LONGEST_WAIT, LONGEST_WAIT]
    assert throttle.wait(ada) == LONGEST_WAIT and throttle.wait(("Ada", "127.0.0.2")) == 0
    clock[0] += LONGEST_WAIT
    assert throttle.wait(ada) == 0
    throttle.was_right(ada)
    throttle.was_wrong(ada)
    assert throttle.wait(ada) == 0
