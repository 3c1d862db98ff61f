"""A roster is read as a spreadsheet saves it, and refused where it cannot be what was meant."""

import pytest

from reimpl_helpers.hub.roster import Roster, RosterError, read_roster

WORKSHOP = "name,pair\nAda,oak\nGrace,oak\nJoan,elm\nMary,facilitator\n"


@pytest.fixture
def read(tmp_path):
    def write_and_read(text, encoding="utf-8"):
        path = tmp_path / "roster.csv"
        path.write_bytes(text.encode(encoding))
        return read_roster(path)

    return write_and_read


def test_a_roster_says_who_is_in_which_pair(read):
    assert read(WORKSHOP) == Roster({"oak": ("Ada", "Grace"), "elm": ("Joan",)}, ("Mary",))


@pytest.mark.parametrize(
    "text, encoding",
    [
        (WORKSHOP, "utf-8-sig"),
        (WORKSHOP.replace("\n", "\r\n"), "utf-8"),
        (WORKSHOP.replace(",", ";"), "utf-8"),
        (WORKSHOP.replace(",", "\t"), "utf-8"),
        (WORKSHOP.replace("name,pair", " Name , PAIR "), "utf-8"),
        (WORKSHOP.replace("Ada,oak", '"Ada", Oak '), "utf-8"),
        (WORKSHOP + "\n,\n\n", "utf-8"),
        ("email,pair,name\n" + "".join(f"x,{b},{a}\n" for a, b in
            (line.split(",") for line in WORKSHOP.split()[1:])), "utf-8"),
    ],
)  # fmt: skip
def test_it_may_be_saved_by_any_spreadsheet(text, encoding, read):
    assert read(text, encoding) == read(WORKSHOP)


def test_names_keep_their_letters_and_are_found_however_they_are_typed(read):
    roster = read('name,pair\n"O\'Neil,  Zoë",1\nAda,1\nMary,facilitator\n')
    assert roster.spelt("  o'neil, ZOË ") == "O'Neil, Zoë"
    assert roster.spelt("O'Neil, Zoe\u0308") == "O'Neil, Zoë"  # as some keyboards send it
    assert roster.spelt("nobody") is None and roster.spelt("") is None
    assert (roster.pair_of("Ada"), roster.pair_of("Mary")) == ("1", None)
    assert roster.people == ["O'Neil, Zoë", "Ada", "Mary"]


def test_each_of_a_pair_has_a_colour_of_their_own(read):
    roster = read("name,pair\nAda,1\nGrace,1\nJoan,1\nMary,facilitator\n")
    assert len({roster.person(name).identity["color"] for name in ("Ada", "Grace", "Joan")}) == 3


WRONG = {
    "": "begins with '', expected a line that names the columns: name,pair",
    "Ada,oak\nGrace,oak\n": "begins with 'Ada,oak', expected",
    "name,pair\n": "names no pair. Add a line for each person",
    "name,pair\nAda,oak\n": "names no facilitator, so nobody could open the board",
    "name,pair\nAda,oak\nada ,elm\n": "line 3: ada stands in line 2 already",
    "name,pair\nAda,oak\nAda,facilitator\n": "line 3: Ada stands in line 2 already",
    "name,pair\nAda,1\nB,1\nC,1\nD,1\n": "line 5: D is number 4 in pair 1",
    "name,pair\nAda,\n": "line 2: '' cannot be the name of a pair",
    "name,pair\n,oak\n": "line 2: '' cannot be a name here",
    "name,pair\nAda/..,oak\n": "line 2: 'Ada/..' cannot be a name here",
    "name,pair\nA\x07,oak\n": "cannot be a name here",
    f"name,pair\n{'a' * 41},oak\n": "Use 1 to 40 letters",
    "name,pair\nAda,../etc\n": "cannot be the name of a pair",
    "name,pair\nAda,-rf\n": "cannot be the name of a pair",
    "name,pair\nAda,élm\n": "cannot be the name of a pair",
    f"name,pair\nAda,{'a' * 21}\n": "at most 20",
    "name,pair\nPair-elm,oak\n": "line 2: Pair-elm cannot be a person's name here",
    "name,pair\nJosé,oak\nJose\u0301,elm\n": "line 3: José stands in line 2 already",
}


@pytest.mark.parametrize("text, words", WRONG.items(), ids=map(repr, WRONG))
def test_what_cannot_be_meant_is_refused_with_its_line(text, words, read):
    with pytest.raises(RosterError) as refused:
        read(text)
    assert words in str(refused.value) and "roster.csv" in str(refused.value)


def test_a_file_that_is_no_text_or_is_not_there_is_refused(read, tmp_path):
    with pytest.raises(RosterError, match="CSV UTF-8"):
        read("name,pair\nZoë,1\n", "latin-1")
    for long in "x" * 140_000, '"Ada,oak\n' + "x,y\n" * 50_000:
        with pytest.raises(RosterError, match="line .*longer than 131072 letters"):
            read(f"name,pair\n{long}")
    with pytest.raises(RosterError, match="No such file"):
        read_roster(tmp_path / "none.csv")
    with pytest.raises(RosterError, match="Is a directory"):
        read_roster(tmp_path)
