"""`reimpl lab` serves a pair's folder to the two of them: links, names, and nobody else."""

import asyncio
import contextlib
import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from unittest.mock import Mock

import nbformat
import psutil
import pytest
import requests
import websocket
from browser import Lab, wait_for
from jupyter_client import BlockingKernelClient
from jupyter_server.auth import IdentityProvider, User
from jupyter_server_ydoc.handlers import YDocWebSocketHandler
from jupyter_server_ydoc.loaders import FileLoader
from jupyter_server_ydoc.rooms import DocumentRoom
from tornado.websocket import WebSocketClosedError

from reimpl_helpers.base.errors import WorkbookError
from reimpl_helpers.base.files import replace_file
from reimpl_helpers.base.network import address_here
from reimpl_helpers.base.places import ROOT
from reimpl_helpers.doctor.trials import NOTEBOOK, Seat
from reimpl_helpers.lab import saving
from reimpl_helpers.lab import serve as served
from reimpl_helpers.lab.serve import (
    Links,
    PairContents,
    Person,
    arguments_of,
    guarded_by_links,
    links_to,
    people_of,
)
from reimpl_helpers.tracks.track import tracks

NOBODY = "00000000-0000-0000-0000-000000000000"
FIRST = "autoencoder/01_forward_pass.ipynb"


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """Start the lab as a pair does, on a free port; end it by its process."""
    lab = Lab(tmp_path_factory.mktemp("lab"), "--pair", "Ada,Grace Hopper").start()
    yield lab
    lab.process.terminate()
    assert lab.process.wait(20) == 0
    assert "Traceback" not in lab.log.read_text(), "though no page ever came"
    with pytest.raises(urllib.error.URLError):  # a server of its own would still answer
        ask(lab, "api")


def ask(lab, path, data=None, token=None, method=None):
    address = lab.links[0].partition("lab/")[0] + path
    request = urllib.request.Request(address, method=method)
    request.add_header("Authorization", f"token {lab.token if token is None else token}")
    if data is not None:
        request.data = json.dumps(data).encode()
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.read().decode()


def refused(lab, path, **how):
    with pytest.raises(urllib.error.HTTPError) as refusal:
        ask(lab, path, **how)
    with refusal.value as answer:
        return answer.code


def test_the_start_page_is_served(lab):
    assert 'id="jupyter-config-data"' in ask(lab, "lab/tree/00_start_here.ipynb")


def test_there_is_a_link_for_each_with_a_layout_of_its_own(lab):
    said = lab.log.read_text()
    assert "Ada: http://127.0.0.1:" in said and "Grace Hopper: http://127.0.0.1:" in said
    ada, grace = lab.links
    assert "/lab/workspaces/ada-1/tree/00_start_here.ipynb?reset&" in ada
    assert "/lab/workspaces/grace-hopper-2/tree/00_start_here.ipynb?reset&" in grace


def test_who_opens_a_link_is_known_by_its_name(lab):
    for link, name, initials in zip(lab.links, ("Ada", "Grace Hopper"), ("A", "GH"), strict=True):
        me = json.loads(ask(lab, "api/me", token=link.partition("token=")[2]))["identity"]
        assert (me["display_name"], me["initials"]) == (name, initials)


def test_the_name_of_an_earlier_lab_is_forgotten(lab):
    def identity(cookie=None):
        address = lab.links[0].partition("lab/")[0] + "api/me"
        request = urllib.request.Request(address)
        if cookie:
            request.add_header("Cookie", cookie)
        else:
            request.add_header("Authorization", f"token {lab.links[1].partition('token=')[2]}")
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read())["identity"]["name"], answer.headers["Set-Cookie"]

    name, cookie = identity()
    assert name == "Grace Hopper" and identity(cookie)[0] == "Grace Hopper"
    renamed = people_of("Mary,Joan")
    links = Links(users={person.token: User(**person.identity) for person in renamed})
    ada = User(**people_of("Ada,Grace")[0].identity)
    old = Links(users={"x": ada})
    for provider, known in ((links, None), (old, "Ada")):
        user = IdentityProvider.user_from_cookie(provider, provider.user_to_cookie(ada))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(IdentityProvider, "get_user_cookie", lambda self, handler, u=user: u)
            found = provider.get_user_cookie(None)
        assert (found and found.name) == known


def test_only_the_pairs_folder_is_served(lab):
    contents = json.loads(ask(lab, "api/contents/"))["content"]
    assert {entry["name"] for entry in contents} <= {
        "00_start_here.ipynb", "log.jsonl", *tracks(),
    }  # fmt: skip
    names = {e["name"] for e in json.loads(ask(lab, "api/contents/autoencoder"))["content"]}
    assert "solution" not in names and "solved" not in names
    assert "01_forward_pass.ipynb" in names and "recording.safetensors" in names


@contextlib.contextmanager
def client_of(lab, path):
    """Start the kernel of a notebook as a browser does, and talk with it."""
    session = {"path": path, "type": "notebook", "name": path, "kernel": {"name": "python3"}}
    kernel = json.loads(ask(lab, "api/sessions", session))["kernel"]["id"]
    (known_by,) = Path(tempfile.gettempdir()).glob(f"reimpl-*/kernel-{kernel}.json")
    client = BlockingKernelClient(connection_file=str(known_by))
    client.load_connection_file()
    client.start_channels()

    def is_ready():
        with contextlib.suppress(RuntimeError):  # busy, its heart is not heard for a second
            client.wait_for_ready(timeout=60)
            return True

    try:
        wait_for(is_ready, what="the kernel")
        yield client
    finally:
        client.stop_channels()


@contextlib.contextmanager
def kernel_of(lab, path):
    """Start the kernel of a notebook, and run cells in it."""

    def run(source):
        said = []
        reply = client.execute_interactive(
            source, timeout=60, output_hook=said.append, stdin_hook=None
        )
        assert reply["content"]["status"] == "ok", source
        return "".join(message["content"].get("text", "") for message in said)

    with client_of(lab, path) as client:
        yield run


@pytest.mark.parametrize("path", ["00_start_here.ipynb", FIRST])
def test_a_kernel_of_the_lab_runs_the_notebook(lab, path):
    with kernel_of(lab, path) as run:
        for cell in nbformat.read(lab.work / path, as_version=4).cells:
            if cell.cell_type == "code":
                run(cell.source)


@pytest.mark.skipif(os.name == "nt", reason="no sockets that are files there")
def test_nobody_else_on_the_machine_hears_a_kernel_and_a_forked_process_is_heard(lab):
    with kernel_of(lab, FIRST) as run:
        process = psutil.Process(int(run("import os\nprint(os.getpid())")))
        assert process.net_connections("inet") == []
        sockets = [Path(each.laddr) for each in process.net_connections("unix") if each.laddr]
        assert sockets and not any(path.parent.stat().st_mode & 0o077 for path in sockets)
        forked = "if not (child := os.fork()):\n    print('hello', flush=True)\n    os._exit(0)"
        assert "hello" in run(f"{forked}\n_ = os.waitpid(child, 0)\nimport time\ntime.sleep(1)")


def test_no_debugger_listens_at_a_port(lab, keeps_out):
    """Whoever found it could run code as who started the lab."""
    asked = {"type": "request", "seq": 1, "command": "initialize", "arguments": {}}
    with client_of(lab, FIRST) as client:
        client.control_channel.send(client.session.msg("debug_request", asked))
        client.control_channel.get_msg(timeout=60)
        children = psutil.Process(lab.process.pid).children(recursive=True)
        open_ports = [port for child in children for port in child.net_connections("inet")]
        keeps_out(children and not open_ports, open_ports)
    spec = json.loads(ask(lab, "api/kernelspecs"))["kernelspecs"]["python3"]["spec"]
    assert not spec["metadata"]["debugger"], "the page offers one"


def test_what_the_lab_keeps_for_itself_is_out_of_sight(lab):
    ask(
        lab,
        f"api/collaboration/session/{FIRST}",
        {"format": "json", "type": "notebook"},
        method="PUT",
    )
    beside = {path.name for path in lab.work.rglob("*") if path.suffix in (".db", ".json")}
    assert beside and all(".lab" in path.parts for path in lab.work.rglob("*.db"))
    assert not list(lab.home.rglob(".jupyter*"))


@pytest.mark.parametrize("place", ["its own", "a temporary folder", "beside theirs", "nowhere"])
def test_what_is_not_saved_when_a_lab_ends_is_kept_or_said_to_be_lost(
    place, tmp_path, monkeypatch, capsys, fault
):
    work, temporary = tmp_path / "work", tmp_path / "temporary"
    (work if place in ("a temporary folder", "nowhere") else work / "gnn").mkdir(parents=True)
    if place == "beside theirs":  # somebody else's, who changed it on the disk
        (work / "gnn/x.py").write_text("theirs")
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    if place != "nowhere":
        temporary.mkdir()
    room = Mock()
    room._file.path, room._document.get.return_value = "gnn/x.py", "typed"
    room._file.ours = ["before"]
    monkeypatch.setattr(saving, "unsaved", {room: "No space left on device"})
    lost, said = saving.keep_unsaved(work), capsys.readouterr().out
    if place == "nowhere":
        assert lost[0].startswith("gnn/x.py is not saved: No space left on device. A copy cannot")
        return
    where = work / "gnn/x.py" if place == "its own" else Path(said.rpartition(" is in ")[2].strip())
    fault(files_lost=where.read_text() != "typed", events_lost=0)
    if place == "beside theirs":
        assert (work / "gnn/x.py").read_text() == "theirs"
    assert lost == [] and where.is_relative_to(temporary if said else work)


def test_what_is_kept_as_the_terminal_is_closed_is_not_called_lost(tmp_path, monkeypatch):
    room, closed = Mock(), Mock(side_effect=OSError(5, "Input/output error"))
    room._file.path, room._document.get.return_value = "x.py", "typed"
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(saving, "unsaved", {room: "No space left on device"})
    monkeypatch.setattr(saving, "print", closed, raising=False)
    assert saving.keep_unsaved(tmp_path / "work") == [] and closed.called


@pytest.mark.skipif(os.name == "nt", reason="Windows sends no such signals")
@pytest.mark.parametrize("name", ["SIGINT", "SIGHUP"])  # SIGHUP: the terminal is closed
def test_a_signal_without_a_terminal_keeps_what_is_not_saved_and_ends_the_lab_soon(
    name, tmp_path, monkeypatch, fault
):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    lab = Lab(tmp_path / "home", "--pair", "Ada,Grace").start()
    try:
        ada = Seat(lab.links[0])
        ada.sit_down()
        with contextlib.closing(ada.socket):
            ada.wait_for("#")
            path = lab.work / NOTEBOOK
            path.unlink()
            path.mkdir()  # so that nothing is saved there
            ada.write("typed")
            wait_for(lambda: "Error saving file" in lab.log.read_text(), what="a failed save")
            lab.process.send_signal(getattr(signal, name))
            assert lab.process.wait(20) == 0
        said = re.findall("could not be saved: .* What it holds is in (.*)", lab.log.read_text())
        fault(
            files_lost="typed" not in "".join(Path(copy).read_text() for copy in said),
            events_lost=0,
        )
    finally:
        lab.kill()


def test_what_is_typed_just_before_a_lab_is_stopped_is_saved(tmp_path, fault):
    pause = "--YDocExtension.document_save_delay=5"  # from a letter until it is saved
    lab = Lab(tmp_path / "home", "--pair", "Ada,Grace", pause).start()
    try:
        ada = Seat(lab.links[0])
        ada.sit_down()
        with contextlib.closing(ada.socket):
            ada.wait_for("#")
            ada.write("typed")
            time.sleep(0.5)
            lab.process.terminate()
            assert lab.process.wait(20) == 0
        kept = (lab.work / NOTEBOOK).read_text("utf-8")
        fault(files_lost="typed" not in kept, events_lost=0)
        assert "could not be saved" not in lab.log.read_text()
    finally:
        lab.kill()


@pytest.fixture
def no_room(monkeypatch):
    """Let documents be saved again and again, as in a lab; say where there is no room for them."""
    full = []

    def replace(path, content):
        if any(path.is_relative_to(folder) for folder in full):
            raise OSError(28, "No space left on device")
        replace_file(path, content)

    for owner, name in (
        (DocumentRoom, "_on_document_change"),
        (DocumentRoom, "_maybe_save_document"),
        (DocumentRoom, "_on_outofband_change"),
        (YDocWebSocketHandler, "_clean_room"),
        (FileLoader, "maybe_save_content"),
        (FileLoader, "load_content"),
        (FileLoader, "_save_content"),
        (FileLoader, "maybe_notify"),
        (FileLoader, "path"),
    ):
        monkeypatch.setattr(owner, name, getattr(owner, name))  # as it is now, afterwards
    saving.save_while_typing()
    saving.save_again()
    monkeypatch.setattr(saving, "AGAIN", 0.05)
    monkeypatch.setattr(saving, "unsaved", {})
    monkeypatch.setattr(saving, "replace_file", replace)
    monkeypatch.setattr(served, "replace_file", replace)
    return full


def test_what_cannot_be_saved_as_the_last_page_goes_is_not_forgotten(no_room, monkeypatch):
    forgotten, handler = [], Mock(room="a notebook", _cleanup_delay=0.1)

    async def forget(handler):
        forgotten.append(handler)

    async def leave():
        going = asyncio.ensure_future(YDocWebSocketHandler._clean_room(handler))
        await asyncio.sleep(0.05)
        saving.unsaved["a notebook"] = "No space left on device"
        await asyncio.sleep(0.3)
        assert not forgotten
        saving.unsaved.clear()
        await going
        assert forgotten == [handler]

    monkeypatch.setattr(YDocWebSocketHandler, "_clean_room", forget)
    saving.save_again()
    asyncio.run(leave())


def notebook(source):
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source, id="cell")])


async def until(look):
    for _ in range(100):
        if look():
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"not seen: {look}")


def room_of(contents, name, poll=None):
    """Open a notebook as two people do; return its room, and what says what they are told."""
    files, told = Mock(), Mock()
    files.get_path.return_value = name
    loader = FileLoader("id", files, contents, poll_interval=poll)
    room = DocumentRoom("room", "json", "notebook", loader, told, None, None, save_delay=0.01)

    def said():
        return "\n".join(call.kwargs["data"].get("msg", "") for call in told.emit.mock_calls)

    return room, said


@pytest.mark.parametrize("poll", [None, 0.02])
def test_a_touch_of_the_file_changes_nothing_that_is_typed(
    poll, no_room, tmp_path, contents, fault
):
    path, typed = tmp_path / "a.ipynb", []

    async def share():
        room, said = room_of(contents, path.name, poll)
        await room.initialize()
        for number in range(30):
            typed.append(f" word{number}")
            source = room._document.ycells[0]["source"]
            source += typed[-1]
            await asyncio.sleep(0.02)
            if number % 3 == 0:
                os.utime(path)
        await until(lambda: typed[-1] in path.read_text())
        assert saving.RELOADED not in said()
        kept = nbformat.read(path, 4).cells[0].source
        fault(files_lost=kept != "before" + "".join(typed), events_lost=0)
        await room._file.clean()

    nbformat.write(notebook("before"), path)
    asyncio.run(share())


def test_a_file_that_is_changed_to_an_older_one_is_not_written_over(
    no_room, tmp_path, contents, fault
):
    """As by a copy that keeps its time, or where the clock was set back."""
    path = tmp_path / "a.ipynb"

    async def share():
        room, _ = room_of(contents, path.name, poll=0.02)
        await room.initialize()
        nbformat.write(notebook("theirs"), path)
        os.utime(path, (1e9, 1e9))
        await asyncio.sleep(0.2)
        source = room._document.ycells[0]["source"]
        source += ", typed"
        await until(lambda: "typed" in path.read_text())
        kept = nbformat.read(path, 4).cells[0].source
        fault(files_lost=kept != "theirs, typed", events_lost=0)
        await room._file.clean()

    nbformat.write(notebook("before"), path)
    asyncio.run(share())


@pytest.mark.parametrize("poll", [None, 0.02])
def test_a_file_that_somebody_else_left_damaged_is_not_written_over(
    poll, no_room, tmp_path, contents, fault
):
    path = tmp_path / "a.ipynb"

    async def share():
        room, said = room_of(contents, path.name, poll)
        await room.initialize()
        path.write_text("{")
        room._document.ycells[0]["source"] = "typed"
        await until(lambda: "its file was changed on the disk as well" in said())
        fault(files_lost=path.read_text() != "{", events_lost=0)
        nbformat.write(notebook("before"), path)
        await until(lambda: room not in saving.unsaved)
        kept = nbformat.read(path, 4).cells[0].source
        fault(files_lost=kept != "typed", events_lost=0)
        await room._file.clean()

    nbformat.write(notebook("before"), path)
    asyncio.run(share())


@pytest.mark.parametrize("writes", [True, False])
@pytest.mark.parametrize("poll", [None, 0.02])
def test_a_save_that_fails_is_nobody_elses_change(
    poll, writes, no_room, tmp_path, monkeypatch, contents, fault
):
    path, save, fails = tmp_path / "a.ipynb", contents.save, [True]

    async def save_and_fail(model, path):
        saved = await save(model, path) if writes or not fails else None
        if fails:
            raise OSError(2, "No such file or directory")
        return saved

    async def share():
        room, said = room_of(contents, path.name, poll)
        await room.initialize()
        monkeypatch.setattr(contents, "save", save_and_fail)
        room._document.ycells[0]["source"] = "typed"
        await until(lambda: room in saving.unsaved)
        room._document.ycells[0]["source"] = "typed, and more"
        await asyncio.sleep(0.2)
        os.utime(path)  # and whatever it holds, nobody changed it
        await asyncio.sleep(0.2)
        fails.clear()
        await until(lambda: room not in saving.unsaved)
        assert saving.RELOADED not in said()
        kept = nbformat.read(path, 4).cells[0].source
        fault(files_lost=kept != "typed, and more", events_lost=0)
        await room._file.clean()

    nbformat.write(notebook("before"), path)
    asyncio.run(share())


@pytest.mark.skipif(os.name == "nt", reason="no file may have such a name there")
@pytest.mark.parametrize("is_polled", [True, False])
@pytest.mark.parametrize("everywhere", [True, False])
def test_what_could_not_be_saved_outlives_a_change_of_its_file(
    is_polled, everywhere, no_room, tmp_path, monkeypatch, contents, fault
):
    path, temporary = tmp_path / "a\x1b.ipynb", tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    printed = []  # and not by capsys: a server sets up logging, and absl closes what was stderr
    monkeypatch.setattr(saving, "print", lambda said, **_: printed.append(said), raising=False)

    def copies():
        return [nbformat.read(copy, 4).cells[0].source for copy in temporary.glob("*/*")]

    async def share():
        room, said = room_of(contents, path.name, poll=0.05 if is_polled else None)

        async def held():
            return (await room._document.aget())["cells"][0]["source"]

        def write(source):
            room._document.ycells[0]["source"] = source

        await room.initialize()
        nbformat.write(notebook("theirs, on a healthy disk"), path)
        if is_polled:
            await until(lambda: room._document.source["cells"][0]["source"].startswith("theirs"))
            assert not copies()
        else:
            write("before that")
            await until(lambda: copies() == ["before that"] and room not in saving.unsaved)
            shutil.rmtree(temporary)
            temporary.mkdir()
        assert await held() == "theirs, on a healthy disk"

        no_room.append(tmp_path)
        if not everywhere:
            no_room[:] = [path]
        write("typed")
        await until(lambda: room in saving.unsaved)
        write("typed, and more")
        nbformat.write(notebook("theirs"), path)
        if everywhere:
            await until(lambda: "its file was changed on the disk as well: No space" in said())
            room._save_to_disc()  # as Ctrl-S does
            await asyncio.sleep(0.2)
            assert await held() == "typed, and more" and not list(temporary.iterdir())
            assert saving.keep_unsaved(tmp_path)[0].startswith(
                r"a\x1b.ipynb is not saved: its file"
            )
            no_room[:] = [path]
        await until(copies)
        await until(lambda: room not in saving.unsaved)
        assert nbformat.read(path, 4).cells[0].source == await held() == "theirs"
        fault(files_lost=copies() != ["typed, and more"], events_lost=0)
        where = re.escape(str(temporary)) + r"/unsaved-\w+/a\\x1b.ipynb"
        found = rf"What you had typed is in {where}, as a\\x1b.ipynb was changed on the disk"
        assert re.search(found, said()) and re.search(found, "\n".join(printed))
        before = said()
        await asyncio.sleep(0.3)
        assert said() == before  # all is well, though the disk is full
        await room._file.clean()

    nbformat.write(notebook("before"), path)
    asyncio.run(share())


@pytest.mark.parametrize("text", [True, False])
def test_a_notebook_is_saved_whole_or_not_at_all(tmp_path, text):
    path, contents = tmp_path / "a.ipynb", PairContents(root_dir=str(tmp_path))
    path.write_text("old")
    with contents.atomic_writing(str(path), text=text) as file:
        file.write("née" if text else "née".encode())
        assert path.read_text() == "old" and len(list(tmp_path.iterdir())) == 1
    assert path.read_bytes() == "née".encode()
    with pytest.raises(RuntimeError), contents.atomic_writing(str(path), text=text) as file:
        file.write("half" if text else b"half")
        raise RuntimeError("killed")
    assert path.read_bytes() == "née".encode()


@pytest.fixture
def contents(tmp_path):
    contents = PairContents(root_dir=str(tmp_path))
    yield contents
    contents.notary.store.close()


def test_a_page_that_was_closed_is_not_worth_a_traceback(caplog):
    told, log = Mock(), logging.getLogger("a server")
    served.say_nothing_of_who_left(told, log)
    ((handle,), _) = told.set_exception_handler.call_args
    handle(told, {"exception": WebSocketClosedError()})
    log.error("Failed to write message", exc_info=WebSocketClosedError())
    assert not told.default_exception_handler.called and not caplog.records
    handle(told, {"exception": ValueError()})
    log.error("Failed to write message", exc_info=ValueError())
    assert told.default_exception_handler.called and len(caplog.records) == 1


def test_every_notebook_of_the_folder_is_trusted(contents):
    cell = nbformat.v4.new_code_cell("x")
    notebook = nbformat.v4.new_notebook(cells=[cell])
    contents.mark_trusted_cells(notebook, "a.ipynb")
    assert cell.metadata.trusted


def test_saving_costs_no_signature(contents, tmp_path, monkeypatch):
    monkeypatch.setattr("nbformat.sign.NotebookNotary.sign", lambda *_: pytest.fail("signed"))
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("x")])
    model = {"type": "notebook", "content": notebook}
    asyncio.run(contents.save(model, "a.ipynb"))
    assert nbformat.read(tmp_path / "a.ipynb", 4).cells[0].source == "x"


# --- nobody else ---

PATHS = [
    "api/contents/",
    f"api/contents/{FIRST}",
    "api/kernels",
    "api/sessions",
    "api/terminals",
    "api/me",
    "api/status",
    "api/kernelspecs",
    "lab/api/workspaces/ada-1",
    f"api/kernels/{NOBODY}/execute",
    "api/fileid/id?path=00_start_here.ipynb",
    "api/collaboration/timeline/json:notebook:x",
]


@pytest.mark.parametrize("token", ["", "wrong", "0" * 48])
@pytest.mark.parametrize("path", PATHS)
def test_without_a_link_nothing_is_served(lab, path, token):
    assert refused(lab, path, token=token) in (401, 403)


@pytest.mark.parametrize("path", [f"files/{FIRST}", "lab/tree/00_start_here.ipynb"])
def test_without_a_link_a_page_is_the_one_that_asks_for_it(lab, path):
    page = ask(lab, path, token="")
    assert "Token authentication is enabled" in page and "nn_layer" not in page


@pytest.mark.parametrize("what", ["notebook", "kernel", "events"])
def test_without_a_link_or_from_another_page_no_socket_opens(lab, what, keeps_out):
    if what == "notebook":
        session = {"format": "json", "type": "notebook"}
        reply = ask(lab, f"api/collaboration/session/{FIRST}", session, method="PUT")
        path = f"api/collaboration/room/json:notebook:{json.loads(reply)['fileId']}"
    elif what == "kernel":
        kernel = json.loads(ask(lab, "api/kernels", {}))["id"]
        path = f"api/kernels/{kernel}/channels"
    else:
        path = "api/events/subscribe"
    home = lab.links[0].partition("lab/")[0]
    address, by_link = home.replace("http", "ws") + path, {"token": lab.token}
    session = requests.Session()
    session.get(f"{home}lab", params=by_link, timeout=20)
    cookie = "; ".join(f"{each.name}={each.value}" for each in session.cookies)
    alien = {"cookie": cookie, "origin": "http://elsewhere.example"}
    for how in {}, alien:
        with pytest.raises(websocket.WebSocketBadStatusException) as refusal:
            websocket.create_connection(address, timeout=20, **how)
        keeps_out(refusal.value.status_code == 403)
    for how in {"cookie": cookie, "origin": home.rstrip("/")}, {"header": {}}:
        asked = address if "cookie" in how else f"{address}?token={lab.token}"
        with contextlib.closing(websocket.create_connection(asked, timeout=20, **how)) as mine:
            assert mine.connected


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE", "PATCH"])
def test_without_a_link_nothing_is_changed(lab, method):
    assert refused(lab, f"api/contents/{FIRST}", data={}, token="", method=method) in (401, 403)
    assert (lab.work / FIRST).is_file()


@pytest.mark.parametrize(
    "path",
    [
        "../pyproject.toml", "..%2f..%2fetc%2fpasswd", "%2e%2e/README.md", "autoencoder/../../x",
        ".lab/history.db", ".lab/file_ids.db", ".workbook/00_start_here.ipynb",
        "autoencoder/.track",
    ],
)  # fmt: skip
def test_with_a_link_nothing_outside_or_hidden_is_served(lab, path):
    assert refused(lab, f"api/contents/{path}") in (400, 403, 404)
    assert refused(lab, f"files/{path}") in (400, 403, 404)


def test_a_second_lab_on_the_same_folder_is_refused(lab):
    again = Lab(lab.home, "--pair", "Ada,Grace")
    with pytest.raises(AssertionError, match="a lab is open on .* already.*Ctrl-C"):
        again.start()


def shipped_files():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    names = [n for n in listed.stdout.split("\0") if n] or [
        str(path.relative_to(ROOT)) for path in ROOT.rglob("*") if path.is_file()
    ]
    return [ROOT / n for n in names if not n.startswith(("tests/", ".venv/", "work/", ".git/"))]


OPEN_DOORS = (
    r"token\s*=\s*['\"]{2}",
    r"token['\"]?\s*[:=]\s*['\"]{2}",
    r"--\S*token=(\s|$|['\"]{2})",
    r"0\.0\.0\.0",
    r"allow_origin\S*\s*[:=]\s*['\"]?\*",
    r"disable_check_xsrf\S*\s*[:=]\s*['\"]?[Tt]rue",
    r"password\s*=\s*['\"]{2}",
)


def test_no_shipped_file_opens_a_door():
    texts = {path: path.read_bytes().decode("utf-8", errors="replace") for path in shipped_files()}
    assert len(texts) > 100 and ROOT / "reimpl_helpers/lab/serve.py" in texts
    found = [(str(p), d) for p, text in texts.items() for d in OPEN_DOORS if re.search(d, text)]
    assert found == []
    for line in (
        "token=''", '"token": ""', "--ServerApp.token=", "--ip=0.0.0.0", "allow_origin='*'",
        "--ServerApp.allow_origin=*", "disable_check_xsrf=True",
    ):  # fmt: skip
        assert any(re.search(door, line) for door in OPEN_DOORS), line


# --- people ---


def test_two_names_make_two_people():
    ada, grace = people_of(" Ada ,Grace  Hopper")
    assert (ada.name, grace.name) == ("Ada", "Grace Hopper")
    assert ada.token != grace.token and len(ada.token) == 48
    assert ada.token not in repr(ada)
    assert ada.identity["color"] != grace.identity["color"]


@pytest.mark.parametrize(
    "names, paths",
    [
        ("李,Zoë", ("person-1", "zo-2")),
        ("../../etc,a/b?c=d&e#f", ("etc-1", "a-b-c-d-e-f-2")),
        ("<script>,'; rm -rf /", ("script-1", "rm-rf-2")),
    ],
)
def test_a_name_may_be_anything_and_its_link_stays_a_link(names, paths):
    assert tuple(person.workspace for person in people_of(names)) == paths


@pytest.mark.parametrize(
    "names",
    ["", ",", "Ada", "Ada,", "Ada,Ada", "Ada,Grace,Mary", "Ada,Gra\x07ce", f"Ada,{'x' * 41}"],
)
def test_other_than_two_names_are_refused(names):
    with pytest.raises(WorkbookError, match='Give two different names .*PAIR="Ada,Grace"'):
        people_of(names)


def test_names_that_are_refused_start_nothing(tmp_path):
    command = [sys.executable, "-m", "reimpl_helpers.cli", "lab", "--pair", "Ada"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and "reimpl: PAIR is 'Ada'" in done.stderr


def test_a_lab_listens_on_this_machine_alone_unless_it_is_shared(tmp_path, monkeypatch, capsys):
    people = people_of("Ada,Grace")
    assert "--ip=127.0.0.1" in guarded_by_links(people, shared=False)
    assert capsys.readouterr().out == ""
    monkeypatch.setattr(served, "address_here", lambda: "192.0.2.7")
    assert "--ip=192.0.2.7" in guarded_by_links(people, shared=True)
    said = capsys.readouterr().out
    assert "192.0.2.7" in said and "can run\nany code on this machine" in said


def test_the_address_here_is_one_of_this_machine():
    try:
        assert address_here().count(".") == 3
    except WorkbookError as error:
        assert "on no network" in str(error)


def test_the_token_of_pages_is_no_ones_link(tmp_path):
    people = people_of("Ada,Grace")
    (token,) = (a for a in guarded_by_links(people, False) if "token=" in a)
    assert len(token.partition("=")[2]) == 48
    assert not any(person.token in token for person in people)


def test_one_person_alone_has_one_link_and_no_collaboration(tmp_path):
    class Server:
        ip, port, people, is_again = "127.0.0.1", 8888, [Person("You", 0)], False

    assert links_to(Server).count("http://") == 1
    assert "saved every few seconds" in links_to(Server) and "reload" not in links_to(Server)
    Server.is_again = True
    assert "reload them before you type" in links_to(Server)
    arguments = arguments_of(tmp_path, solo=True)
    assert "--YDocExtension.disable_rtc=True" in arguments
    assert any(argument.endswith("solo") for argument in arguments)
    assert Path(served.SETTINGS / "solo/page_config.json").is_file()
