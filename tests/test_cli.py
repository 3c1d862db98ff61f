"""`reimpl check` tells a finished package from any other, whatever is in its folder."""

import json
import os
import shutil
import subprocess
import sys
import time

import pytest
from filelock import FileLock

from reimpl_helpers.cli import main
from reimpl_helpers.judge import client as judge
from reimpl_helpers.texts import package
from reimpl_helpers.tracks.track import Track

TRACK = Track("autoencoder", 3)


@pytest.fixture
def early(tmp_path):
    """A folder with the right pieces of steps 1 to 3, in NumPy."""
    folder = tmp_path / "autoencoder"
    texts = TRACK.given_texts(in_jax=False)
    package.write_texts(folder, {name: texts[name] for name in ("shapes", "model", "params")}, {})
    return folder


def check(folder, capsys):
    """Return the exit status of `reimpl check`, and the lines that it prints."""
    status = main(["check", str(folder)])
    return status, capsys.readouterr().out.splitlines()


def add(folder, name, text):
    with (folder / name).open("a", encoding="utf-8") as file:
        file.write(text)


def state_of(folder):
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


# --- verdicts ---------------------------------------------------------------------------------

WRITTEN = [
    "nn_layer · right on every probe, to within 1e-12.",
    "encoder · right on every probe, to within 1e-12.",
    "decoder · right on every probe, to within 1e-12.",
    "autoencoder · right on every probe, to within 1e-12.",
    "param_shapes · right on every probe.",
    "activation_shapes · right on every probe.",
    "make_autoencoder_params · right on every probe.",
    "params_from_state_dict · right on every probe.",
]
MISSING = [
    "test_layer_shape_and_relu · not written yet (step 4)",
    "test_shapes · not written yet (step 4)",
    "test_code_range · not written yet (step 4)",
    "test_pixel_range · not written yet (step 4)",
    "test_rows_do_not_mix · not written yet (step 4)",
    "test_bias_shifts_the_output · not written yet (step 4)",
    "test_by_hand · not written yet (step 4)",
    "dummy_image_data · not written yet (step 5)",
    "digit_data · not written yet (step 5)",
    "nn_layer in JAX · not written yet: still in NumPy (step 5)",
    "make_autoencoder_params in JAX · not written yet: still in NumPy (step 5)",
    "mse_loss · not written yet (step 5)",
    "adam_steps · not written yet (step 5)",
    "test_training_lowers_the_loss · not written yet (step 5)",
    "test_every_parameter_receives_gradient · not written yet (step 5)",
    "test_one_batch_can_be_overfitted · not written yet (step 5)",
    "strangeness · not written yet (step 6)",
    "conformal_threshold · not written yet (step 6)",
    "is_strange · not written yet (step 6)",
    "second_strangeness · not written yet (step 6)",
    "count_flops · not written yet (step 6)",
    "count_memory · not written yet (step 6)",
    "paired_difference · not written yet (step 6)",
    "checked_images · not written yet (step 6)",
    "in_words · not written yet (step 6)",
]
ASKED = len(WRITTEN) + len(MISSING)


def test_half_finished_package_lists_what_is_missing(early, capfd, monkeypatch):
    """Whatever it prints, and whatever else lies in its folder."""
    noise = (
        "import sys\nfor stream in (sys.stdout, sys.stderr):\n    stream.write('noise ' * 2**20)\n"
    )
    add(early, "shapes.py", noise)
    for name in ("random", "numpy", "jax", "pytest", "json", "conftest", "test_model2"):
        (early / f"{name}.py").write_text("raise ImportError('stray')\n")
    (early / "pytest.ini").write_text("[pytest]\naddopts = --no-such-option\n")
    (early / "reimpl_helpers").mkdir()
    monkeypatch.chdir(early)
    before = state_of(early)
    assert main(["check", "."]) == 1
    printed = capfd.readouterr()
    assert printed.out.splitlines() == [*WRITTEN, *MISSING, f"8 of {ASKED} pieces right."]
    assert printed.err == ""
    assert state_of(early) == before


def test_empty_folder_lists_everything(tmp_path, capsys):
    folder = tmp_path / "autoencoder"
    folder.mkdir()
    status, lines = check(folder, capsys)
    assert status == 1 and lines[0] == "nn_layer · not written yet (step 1)"
    assert lines[-1] == f"0 of {ASKED} pieces right." and len(lines) == ASKED + 1


def test_planted_bug_is_found_and_a_piece_of_the_workbook_is_not_the_pairs(early, capsys):
    text = (early / "model.py").read_text("utf-8")
    assert text.count('"tanh")') == 1
    text = text.replace('"tanh")', '"relu")')
    text = text.replace("def decoder(", f"{package.GIVEN}\ndef decoder(")
    (early / "model.py").write_text(text, "utf-8")
    status, lines = check(early, capsys)
    assert status == 1 and lines[-1] == f"5 of {ASKED} pieces right."
    assert lines[2] == "decoder · the workbook's, yours not written yet (step 1)"
    wrong = [line.partition(" · ")[0] for line in lines if " differ " in line]
    assert wrong == ["encoder", "autoencoder"]


BROKEN = {
    "syntax error": "def a(:\n",
    "exit": "import sys\nsys.exit(0)\n",
    "exception": "raise KeyError('ours')\n",
    "name taken away": "del encoder, decoder, autoencoder, nn_layer\n",
    "name taken over": "encoder = decoder = autoencoder = nn_layer = 3\n",
}


@pytest.mark.parametrize("added", BROKEN.values(), ids=BROKEN)
def test_broken_module_is_wrong_and_the_others_are_judged(added, early, capsys):
    add(early, "model.py", added)
    status, lines = check(early, capsys)
    assert status == 1 and lines[-1] == f"4 of {ASKED} pieces right."
    assert lines[4:8] == WRITTEN[4:]
    for name, line in zip(("nn_layer", "encoder", "decoder", "autoencoder"), lines, strict=False):
        assert line.startswith(f"{name} · ") and "not written" not in line


def test_file_that_is_no_text(early, capsys):
    (early / "model.py").write_bytes(b"# gr\xf6sse\n")
    status, lines = check(early, capsys)
    assert status == 1 and lines[0].startswith("autoencoder · autoencoder/model.py is not UTF-8")
    assert lines[1:] == [f"0 of {ASKED} pieces right."]


def test_module_that_ends_the_process(early, capsys):
    add(early, "model.py", "import os, sys\nsys.stderr.write('last words')\nsys.stderr.flush()\n")
    add(early, "model.py", "os._exit(0)\n")
    status, lines = check(early, capsys)
    assert status == 1
    assert lines[0] == (
        "nn_layer · model.py ends the check while it is imported. Does it exit, or never return? "
        "last words"
    )
    assert lines[4:8] == WRITTEN[4:] and lines[-1] == f"4 of {ASKED} pieces right."


@pytest.mark.slow
def test_endless_piece_is_stopped_and_named(early, capsys):
    add(
        early,
        "model.py",
        "\n\ndef autoencoder(params, x):\n    while True: pass\n",
    )
    status, lines = check(early, capsys)
    right = [line for line in lines if line in WRITTEN]
    assert right == WRITTEN[:3] + WRITTEN[4:]
    assert any(line.startswith("autoencoder · still running after 20 seconds") for line in lines)


# --- the marker -------------------------------------------------------------------------------


def test_marker_comes_before_the_name_of_the_folder(early, capsys):
    ours = early.rename(early.parent / "ours")
    assert main(["check", str(ours)]) == 2
    assert "belongs to no track: there is no `ours`" in capsys.readouterr().err
    (ours / ".track").write_text("autoencoder\n")
    assert check(ours, capsys)[1][0] == WRITTEN[0]
    back = ours.rename(early)
    (back / ".track").write_text("nonesuch\n")
    assert main(["check", str(back)]) == 2
    assert "there is no `nonesuch`" in capsys.readouterr().err


# --- calls ------------------------------------------------------------------------------------

BAD_CALLS = {
    "nothing": ([], "the following arguments are required: COMMAND"),
    "no command": (["chekc", "work"], "invalid choice: 'chekc'"),
    "no folder": (["check"], "the following arguments are required: DIR"),
    "two folders": (["check", "a", "b"], "unknown arguments: b"),
    "no option": (["check", "--fast", "a"], "unknown arguments: --fast"),
    "missing folder": (["check", "no/such"], "no/such is no folder. Name the one that holds your"),
    "file": (["check", __file__], "test_cli.py is no folder."),
    "no track": (["check", "."], "belongs to no track"),
    "no folder to score": (["score", "no/such"], "no/such is no folder. Name the one that holds"),
    "nowhere to export to": (["export"], "the following arguments are required: DIR"),
    "no track to export": (["export", "x", "--track", "y"], "there is no track `y`. The tracks"),
    "no track to record": (["record", "autoencoder", "nonesuch"], "there is no track `nonesuch`"),
}


@pytest.mark.parametrize("arguments, said", BAD_CALLS.values(), ids=BAD_CALLS)
def test_bad_call(arguments, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    try:
        status = main(arguments)
    except SystemExit as exit:
        status = exit.code
    printed = capsys.readouterr()
    assert status == 2 and not printed.out
    assert said in printed.err and "Traceback" not in printed.err


def test_help_names_every_command(capsys):
    with pytest.raises(SystemExit) as exit:
        main(["--help"])
    text = capsys.readouterr().out
    assert exit.value.code == 0
    for command in (
        "lab", "doctor", "work", "update", "restore", "check", "score", "export", "solved",
        "guide", "record",
    ):  # fmt: skip
        assert f"\n    {command} " in text
    assert max(map(len, text.splitlines())) <= 100


def test_work_twice(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("REIMPL_WORK", str(tmp_path / "mine"))
    assert main(["work"]) == 0
    given = tmp_path / "mine" / ".workbook"
    copied = [path for path in given.rglob("*") if path.is_file()]
    assert capsys.readouterr().out == (
        f"{tmp_path / 'mine'}: {len(copied)} copied; what was there is untouched.\n"
    )
    assert main(["work"]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'mine'}: nothing to copy.\n"


def test_work_that_cannot_be_written(capsys, tmp_path, monkeypatch):
    (tmp_path / "mine").write_text("")
    monkeypatch.setenv("REIMPL_WORK", str(tmp_path / "mine"))
    assert main(["work"]) == 2
    assert "mine cannot be written" in capsys.readouterr().err


def test_update_and_restore(capsys, tmp_path, monkeypatch):
    work = tmp_path / "mine"
    monkeypatch.setenv("REIMPL_WORK", str(work))
    assert main(["update"]) == main(["restore"]) == 2
    assert capsys.readouterr().err.count(f"reimpl: there is no folder {work}, so there") == 2
    main(["work"])
    capsys.readouterr()
    assert main(["update"]) == main(["restore"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "Nothing to update.",
        "Nothing to put back: every notebook is whole, and has the pieces that you solved.",
    ]
    path = work / "gnn" / "02_shapes.ipynb"
    path.write_bytes(b"")
    assert main(["update"]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "gnn/02_shapes.ipynb: left alone, since it is empty. `reimpl restore` mends it.",
        "No file of yours was changed.",
    ]
    assert main(["restore"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("gnn/02_shapes.ipynb: built anew, since it is empty.\nWhat was there")
    assert path.read_bytes() == (work / ".workbook" / "gnn" / "02_shapes.ipynb").read_bytes()


def test_update_and_restore_wait_for_the_lab(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("REIMPL_WORK", str(tmp_path))
    main(["work"])
    capsys.readouterr()
    with FileLock(tmp_path / ".lab" / "open.lock"):
        assert main(["update"]) == main(["restore"]) == 2
    printed = capsys.readouterr()
    assert not printed.out and printed.err.count("reimpl: a lab is open on") == 2


def test_what_changed_is_said_in_any_encoding(tmp_path):
    book = {"cell_type": "markdown", "id": "title", "metadata": {}, "source": "# 1 · Ours"}
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "REIMPL_WORK": str(tmp_path)}
    command = [sys.executable, "-m", "reimpl_helpers.cli"]
    subprocess.run([*command, "work"], env=environment, check=True)
    shutil.rmtree(tmp_path / ".workbook")
    path = tmp_path / "gnn" / "01_forward_pass.ipynb"
    path.write_text(json.dumps({"cells": [book], "metadata": {}, "nbformat": 4}))
    done = subprocess.run([*command, "update"], env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and "title, under ?1 ? Ours?: is not the workbook's" in done.stdout


def test_stopped_by_hand(monkeypatch, early, capsys):
    def stop(store):
        raise KeyboardInterrupt

    monkeypatch.setattr(judge, "judge_package", stop)
    assert main(["check", str(early)]) == 130


def test_lines_come_one_by_one_in_any_encoding(early):
    slow = (
        "import time\n\ndef params_from_state_dict(tree):\n    time.sleep(0.2)\n    return tree\n"
    )
    add(early, "params.py", slow)
    command = [sys.executable, "-m", "reimpl_helpers.cli", "check", str(early)]
    ascii_only = {**os.environ, "PYTHONIOENCODING": "ascii"}
    ascii_only.pop("PYTHONUNBUFFERED", None)
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=ascii_only) as process:
        arrivals = [(time.monotonic(), line) for line in process.stdout]
    assert process.returncode == 1
    assert arrivals[0][1].strip() == b"nn_layer ? right on every probe, to within 1e-12."
    assert arrivals[-1][0] - arrivals[0][0] > 1
