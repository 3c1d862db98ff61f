"""A log keeps every event that it took, whatever happens to the file."""

import json
import subprocess
import sys
import threading
import time

import pytest

from reimpl_helpers.pair.log import FIELDS, LARGEST, LONGEST, OPTIONAL, Log, event_of, moment_of


def start(log, step=1):
    return log.append("start", track="gnn", step=step)


def steps(log):
    return [event["step"] for event in log.read()]


def test_events_are_read_in_the_order_they_were_written(tmp_path):
    log = Log(tmp_path / "work")
    assert log.read() == []
    assert start(log, 1) and start(log, 2)
    assert steps(Log(tmp_path / "work")) == [1, 2]
    lines = log.path.read_text().splitlines()
    assert [json.loads(line)["event"] for line in lines] == ["start", "start"]
    first, second = map(moment_of, log.read())
    assert first <= second


def test_what_is_no_event_is_not_written(tmp_path):
    log = Log(tmp_path)
    with pytest.raises(ValueError, match="start event carries other fields"):
        log.append("start", track="gnn", step="one")
    with pytest.raises(ValueError, match="other fields"):
        log.append("start", track="x" * LONGEST, step=1)
    assert log.read() == [] and not log.path.exists()


def test_decide_sees_all_events_and_may_add_none(tmp_path):
    log = Log(tmp_path)
    start(log)
    seen = []
    assert log.decide(lambda events: seen.extend(events))
    assert seen == log.read() and len(seen) == 1


def test_cut_at_every_byte_a_log_loses_the_last_line_alone(tmp_path):
    log = Log(tmp_path)
    for step in range(3):
        start(log, step)
    whole = log.path.read_bytes()
    ends = [place for place, byte in enumerate(whole) if byte == ord("\n")]
    for cut in range(len(whole) + 1):
        log.path.write_bytes(whole[:cut])
        kept = sum(end <= cut for end in ends)  # a line is whole without its line end
        assert steps(log) == list(range(kept)), cut
        assert start(log, 9)
        assert steps(log) == [*range(kept), 9], cut


HOSTILE = [
    b"",
    b"\x00",
    b"\xff\xfe",
    b"null",
    b"[]",
    b"{}",
    b'"start"',
    b"[" * 100_000,
    b"{" * 1000,
    b"1" * 10_000,
    b'{"event": "start"}',
    b'{"event": ["start"], "at": "2026-01-01"}',
    b'{"event": "start", "at": 1, "track": "gnn", "step": 1}',
    b'{"event": "start", "at": "yesterday", "track": "gnn", "step": 1}',
    b'{"event": "start", "at": "2026-01-01", "track": "gnn", "step": true}',
    b'{"event": "start", "at": "2026-01-01", "track": "gnn", "step": NaN}',
    b'{"event": "start", "at": "2026-01-01", "track": null, "step": 1}',
    b'{"event": "format the disk", "at": "2026-01-01"}',
    b'{"event": "start", "at": "2026-01-01", "track": "' + b"x" * LONGEST + b'", "step": 1}',
    b'{"event": "start", "at": "0001-01-01T00:00:00+23:59", "track": "gnn", "step": 1}',
    b'{"event": "start", "at": "9999-12-31T23:59:59", "track": "gnn", "step": 1}',
    b'{"event": "start", "at": "2026-01-01", "track": "gnn", "step": 9007199254740992}',
    b'{"event": "start", "at": "2026-01-01", "track": "gnn", "step": 1' + b"0" * 5000 + b"}",
    b'{"event": "start", "at": "2026-01-01", "track": "gnn", "step": Infinity}',
    b'{"event": "start", "at": "2026-01-01", "track": "\\ud800", "step": 1}',
    b'{"event": "start", "at": "2026-01-01", "track": "\xed\xa0\x80", "step": 1}',
    b'{"event": "hand", "at": "2026-01-01", "track": "gnn", "step": 1, "raised": 1}',
    b'{"event": "score", "at": "2026-01-01", "track": "gnn", "step": 4, "caught": 1.0}',
    b"\x80\x04\x95cos\nsystem\n(S'true'\ntR.",  # a pickle
]


def line_of(**fields):
    check = {"track": "gnn", "step": 1, "piece": "readout", "state": "wrong", "source": ""}
    return json.dumps({"event": "check", "at": "2026-01-01", **check, **fields}).encode()


@pytest.mark.parametrize("kind", FIELDS)
def test_an_event_holds_what_is_declared_and_nothing_else(kind):
    values = {str: "née", int: -LARGEST, bool: True}
    declared = {**FIELDS[kind], **OPTIONAL.get(kind, {})}
    event = {"event": kind, "at": "2026-01-01T10:00:00+00:00"}
    event |= {name: values[type_] for name, type_ in declared.items()}
    more = {"__proto__": {"x": 1}, "password": "x", "at ": "2026-01-01", "mistakes_": [1]}
    assert event_of(json.dumps({**more, **event, **more}).encode()) == event
    for name in OPTIONAL.get(kind, {}):
        without = {key: value for key, value in event.items() if key != name}
        for wrong in (None, 1.5, [], {}, float("nan"), 10**400):
            assert event_of(json.dumps({**event, name: wrong}).encode()) == without
        assert event_of(json.dumps(without).encode()) == without


def test_of_a_key_that_stands_twice_the_last_one_counts():
    twice = line_of(mistake="first")[:-1] + b', "mistake": "second", "mistake": NaN}'
    assert "mistake" not in event_of(twice)
    assert event_of(twice.replace(b"NaN", b'"third"'))["mistake"] == "third"


def test_what_is_written_is_what_will_be_read(tmp_path):
    log = Log(tmp_path / "file" / "log")
    (tmp_path / "file").write_text("in the way")
    here = {"track": "gnn", "step": 1, "piece": "readout", "state": "wrong", "source": ""}
    log.append("check", **here, driver="Ada", mistake=5, more="x")
    (waiting,) = log.read()
    assert waiting["driver"] == "Ada" and not {"mistake", "more"} & waiting.keys()


@pytest.mark.parametrize("line", HOSTILE, ids=lambda line: repr(line[:30]))
def test_a_hostile_line_spoils_itself_alone(line, tmp_path):
    log = Log(tmp_path)
    start(log, 1)
    with log.path.open("ab") as file:
        file.write(line)
    start(log, 2)
    with log.path.open("ab") as file:
        file.write(line + b"\n")
    start(log, 3)
    assert steps(log) == [1, 2, 3]


def test_what_finds_no_room_waits_and_is_written_with_the_next(tmp_path):
    log = Log(tmp_path)
    start(log, 1)
    script = """
import resource, sys
from pathlib import Path
from reimpl_helpers.pair.log import Log
log = Log(Path(sys.argv[1]))
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (log.path.stat().st_size + 10, hard))
print(log.append("start", track="gnn", step=2), log.trouble, [e["step"] for e in log.read()])
print(log.path.read_bytes()[-1:])
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
print(log.append("start", track="gnn", step=3), log.trouble, len(log.waiting))
"""
    said = subprocess.check_output([sys.executable, "-c", script, str(tmp_path)], text=True)
    assert said.splitlines() == ["False File too large [1, 2]", "b'\\n'", "True  0"]
    assert steps(log) == [1, 2, 3]


def test_a_folder_that_takes_nothing_keeps_events_waiting(tmp_path):
    (tmp_path / "work").write_text("a file where the folder should be")
    log = Log(tmp_path / "work")
    assert not start(log) and log.trouble
    assert steps(log) == [1]
    (tmp_path / "work").unlink()
    assert start(log, 2) and not log.trouble
    assert steps(Log(tmp_path / "work")) == [1, 2]


WRITE = """
import sys
from pathlib import Path
from reimpl_helpers.pair.log import Log
log = Log(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
for step in range(40):
    assert log.append("start", track=sys.argv[2], step=step)
"""


def test_writers_in_several_processes_lose_nothing(tmp_path):
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITE, str(tmp_path), str(number)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )
        for number in range(4)
    ]  # fmt: skip
    for writer in writers:
        writer.stdout.readline()
    for writer in writers:
        writer.communicate(b"go\n", timeout=60)
        assert writer.returncode == 0
    events = Log(tmp_path).read()
    assert len(events) == 160
    for number in range(4):
        assert [e["step"] for e in events if e["track"] == str(number)] == list(range(40))


def test_threads_that_decide_at_once_decide_one_after_the_other(tmp_path):
    def count(events):
        time.sleep(0.005)
        return {"event": "start", "track": "gnn", "step": len(events)}

    threads = [threading.Thread(target=lambda: Log(tmp_path).decide(count)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert steps(Log(tmp_path)) == list(range(8))
