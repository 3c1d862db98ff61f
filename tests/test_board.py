"""The board shows what the pairs' logs tell, and no log can do more than be wrong about itself."""

import json
import os
import socket
import time
from datetime import UTC, datetime, timedelta

import pytest

from reimpl_helpers.board import logs as reading
from reimpl_helpers.board.logs import MOST_BYTES, MOST_EVENTS, logs_in
from reimpl_helpers.log import Log
from reimpl_helpers.workbook import WorkbookError

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
    assert sorted(map(steps, logs.values())) == [[1], [2], [3], [4]]
    assert len(logs) == 4
    assert sum(reading.NAMESAKE in kept.trouble for kept in logs.values()) >= 2


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
