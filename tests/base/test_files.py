"""A file is the old one or the new one, whatever happens in between."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from reimpl_helpers.base.files import add_file, replace_file, replace_files, scratch_folder


def files_in(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_new_file(tmp_path):
    replace_file(tmp_path / "model.py", b"new\r\n")
    assert files_in(tmp_path) == {"model.py": b"new\r\n"}
    assert os.name == "nt" or (tmp_path / "model.py").stat().st_mode & 0o777 == 0o644


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps no such modes")
def test_mode_stays(tmp_path):
    path = tmp_path / "model.py"
    path.write_bytes(b"old")
    path.chmod(0o640)
    replace_file(path, b"new")
    assert path.read_bytes() == b"new" and path.stat().st_mode & 0o777 == 0o640


def test_file_is_on_the_disk_before_it_takes_the_place_of_the_old_one(tmp_path, monkeypatch):
    done = []
    synced, replaced = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda *args: (done.append("sync"), synced(*args)))
    monkeypatch.setattr(os, "replace", lambda *args: (done.append("replace"), replaced(*args)))
    replace_files({tmp_path / "a": b"1", tmp_path / "b": b"2"})
    assert done == ["sync", "sync", "replace", "replace"]
    assert files_in(tmp_path) == {"a": b"1", "b": b"2"}


@pytest.mark.parametrize("step", ["fsync", "chmod", "replace"])
def test_failure_leaves_the_old_files_and_nothing_else(step, tmp_path, monkeypatch):
    old = {"a": b"old a", "b": b"old b"}
    for name, content in old.items():
        (tmp_path / name).write_bytes(content)

    def fail(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(OSError, match="No space left"):
        replace_files({tmp_path / "a": b"new a", tmp_path / "b": b"new b"})
    assert files_in(tmp_path) == old


WRITE_MORE_THAN_FITS = """
import resource, sys
from pathlib import Path
from reimpl_helpers.base.files import replace_file
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    replace_file(Path(sys.argv[1]), b"x" * 10_000)
except OSError as error:
    print(error.strerror)
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such limit")
def test_no_room_for_real(tmp_path):
    path = tmp_path / "model.py"
    path.write_bytes(b"old")
    command = [sys.executable, "-c", WRITE_MORE_THAN_FITS, str(path)]
    assert subprocess.check_output(command, text=True) == "File too large\n"
    assert files_in(tmp_path) == {"model.py": b"old"}


SAVE_FOR_EVER = """
import sys
from pathlib import Path
from reimpl_helpers.base.files import replace_file
while True:
    for letter in b"ab":
        replace_file(Path(sys.argv[1]), bytes([letter]) * (300_000 + letter))
"""
KILLS = 20


def test_killed_while_it_saves(tmp_path):
    path = tmp_path / "model.py"
    whole = {bytes([letter]) * (300_000 + letter) for letter in b"ab"}
    for kill in range(KILLS):
        path.unlink(missing_ok=True)
        with subprocess.Popen([sys.executable, "-c", SAVE_FOR_EVER, str(path)]) as process:
            while not path.exists():
                assert process.poll() is None
                time.sleep(0.001)
            time.sleep(0.0007 * kill)
            process.kill()
        assert path.read_bytes() in whole
        strays = [stray for stray in tmp_path.iterdir() if stray != path]
        assert len(strays) <= kill + 1
        assert all(stray.name.startswith(".model.py.") for stray in strays), "no module, no test"
    assert strays, "not one kill came while a file was being written"


def test_add_file_never_overwrites(tmp_path):
    path = tmp_path / "a" / "b" / "model.py"
    assert add_file(path, b"ours") is True
    assert add_file(path, b"theirs") is False
    assert path.read_bytes() == b"ours"
    assert files_in(Path(path.parent)) == {"model.py": b"ours"}


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such depth")
def test_a_scratch_folder_is_removed_however_deep_it_is():
    here = os.getcwd()
    with scratch_folder() as folder:
        os.chdir(folder)
        for _ in range(2 * sys.getrecursionlimit()):
            os.mkdir("d")
            os.chdir("d")
        os.chdir(here)
    assert not folder.exists()
