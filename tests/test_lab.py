"""`reimpl lab` serves the start page, starts a kernel and runs the first notebook."""

import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request

import nbformat
import pytest
from jupyter_client import BlockingKernelClient

from reimpl_helpers.notebooks import STABLE
from reimpl_helpers.workbook import tracks

TOKEN = "a-token-for-this-test"


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """Start the lab as a pair does, on a free port; end it by its process."""
    home = tmp_path_factory.mktemp("lab")
    environment = os.environ | STABLE | {"REIMPL_WORK": str(home / "work"), "HOME": str(home)}
    environment |= {"JUPYTER_RUNTIME_DIR": str(home / "runtime"), "JUPYTER_TOKEN": TOKEN}
    with (
        (home / "log").open("w") as log,
        subprocess.Popen(
            [sys.executable, "-m", "reimpl_helpers.cli", "lab", "--no-browser", "--port=0"],
            env=environment, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
        ) as process,
    ):  # fmt: skip
        try:
            address = wait_for(lambda: answering(home / "log"), process)
            yield home, address
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
    with pytest.raises(urllib.error.URLError):  # a server of its own would still answer
        ask(address, "api")


def wait_for(look, process, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        if found := look():
            return found
        time.sleep(0.1)
    raise AssertionError("the lab did not come up")


def answering(log):
    """Return the address in the log once the server answers there."""
    found = re.search(r"http://127\.0\.0\.1:\d+/", log.read_text())
    try:
        return found and ask(found.group(), "api") and found.group()
    except urllib.error.URLError:
        return None


def ask(address, path, data=None):
    request = urllib.request.Request(address + path, headers={"Authorization": f"token {TOKEN}"})
    if data is not None:
        request.data = json.dumps(data).encode()
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.read().decode()


def test_the_start_page_is_served(lab):
    home, address = lab
    assert 'id="jupyter-config-data"' in ask(address, "lab/tree/00_start_here.ipynb")
    log = (home / "log").read_text()
    assert "/lab/tree/00_start_here.ipynb" in log


def test_only_the_pairs_folder_is_served(lab):
    _, address = lab
    contents = json.loads(ask(address, "api/contents/"))["content"]
    assert {entry["name"] for entry in contents} == {"00_start_here.ipynb", *tracks()}
    names = {e["name"] for e in json.loads(ask(address, "api/contents/autoencoder"))["content"]}
    assert "solution" not in names and "solved" not in names
    assert "01_forward_pass.ipynb" in names and "recording.safetensors" in names


def test_without_the_token_nothing_is_served(lab):
    _, address = lab
    with pytest.raises(urllib.error.HTTPError) as refusal:
        urllib.request.urlopen(f"{address}api/contents/", timeout=60)
    with refusal.value as answer:
        assert answer.code == 403


@pytest.mark.parametrize("path", ["00_start_here.ipynb", "autoencoder/01_forward_pass.ipynb"])
def test_a_kernel_of_the_lab_runs_the_notebook(lab, path):
    home, address = lab
    session = {"path": path, "type": "notebook", "name": path, "kernel": {"name": "python3"}}
    kernel = json.loads(ask(address, "api/sessions", session))["kernel"]["id"]
    client = BlockingKernelClient(connection_file=str(home / f"runtime/kernel-{kernel}.json"))
    client.load_connection_file()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        for cell in nbformat.read(home / "work" / path, as_version=4).cells:
            if cell.cell_type == "code":
                reply = client.execute_interactive(
                    cell.source, timeout=60, output_hook=lambda message: None, stdin_hook=None
                )
                assert reply["content"]["status"] == "ok", cell.source
    finally:
        client.stop_channels()
