"""Serve a pair's folder: one shared session, with a link, a name and a window layout for each.

Whoever holds a link can run code on this machine. So it listens on this machine alone, unless
it is told to share, and there is no way in without a link.
"""

import asyncio
import contextlib
import hmac
import io
import logging
import os
import secrets
import signal
import sys
import tempfile
import threading
from pathlib import Path

from reimpl_helpers.base.compiling import COMPILATION
from reimpl_helpers.lab import quick_start  # noqa: F401

# isort: split
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_server.auth import IdentityProvider, User
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.serverapp import ServerApp
from jupyter_server.services.contents.largefilemanager import AsyncLargeFileManager
from jupyter_server_ydoc.handlers import YDocWebSocketHandler
from jupyter_server_ydoc.websocketserver import JupyterWebsocketServer
from jupyterlab.labapp import LabApp
from tornado.websocket import WebSocketClosedError
from traitlets import Dict
from traitlets.config import Config

from reimpl_helpers.base.errors import WorkbookError
from reimpl_helpers.base.files import replace_file
from reimpl_helpers.base.network import HERE, address_here
from reimpl_helpers.base.people import LONGEST_NAME, Person, is_name
from reimpl_helpers.lab import saving
from reimpl_helpers.lab.copies import no_lab
from reimpl_helpers.pair.pairing import NAMES, name_here

START = "00_start_here.ipynb"
SETTINGS = Path(__file__).parent / "settings"
SAVE_DELAY = 0.1  # seconds from a keystroke until it is saved: what kill -9 may lose, about
PATIENCE = 4.0  # seconds that stopping may take: with a browser connected it may never end
LAST = 1.0  # seconds of them once all is put away: threads of an open notebook never end
LONGEST = 30.0  # seconds until it begins to: a server may be busy


def people_of(names: str) -> list[Person]:
    """Read the names of the two: "Ada,Grace".

    Raises: WorkbookError for other than two different names.
    """
    found = [" ".join(name.split()) for name in names.split(",")]
    if len(found) != 2 or found[0] == found[1] or not all(map(is_name, found)):
        raise WorkbookError(
            f"PAIR is {names!r}. Give two different names with a comma between them, "
            f'PAIR="Ada,Grace", each of at most {LONGEST_NAME} letters.'
        )
    return [Person(name, place) for place, name in enumerate(found)]


class Links(IdentityProvider):
    """Know a person by the token in their link, so that no form asks for a name."""

    users = Dict(help="The user that each token stands for.").tag(config=True)

    async def get_user_token(self, handler):
        given = (self.get_token(handler) or "").encode()
        for token, user in self.users.items():
            if hmac.compare_digest(given, token.encode()):
                return user
        if hmac.compare_digest(given, self.token.encode()):  # JupyterLab's own, in every page
            return self.get_user_cookie(handler) or next(iter(self.users.values()))
        return None

    def get_user_cookie(self, handler):
        user = super().get_user_cookie(handler)
        known = {each.username for each in self.users.values()}
        return user if user and user.username in known else None  # else of an earlier lab


class PairContents(AsyncLargeFileManager):
    """Trust every notebook that is opened here, so that widgets live in both browsers.

    What a notebook holds then runs without asking: right for a pair's own folder, and only there.
    """

    def mark_trusted_cells(self, nb, path=""):
        self.notary.mark_cells(nb, True)

    def check_and_sign(self, nb, path="", **_):
        """Sign nothing, as all is trusted: a signature takes longer than the save itself."""

    @contextlib.contextmanager
    def atomic_writing(self, os_path, text=True, encoding="utf-8", **_):
        """Write a file whole or not at all; the library writes into the old one, emptied first."""
        written = io.StringIO() if text else io.BytesIO()
        with self.perm_to_403(os_path):
            yield written
            content = written.getvalue().encode(encoding) if text else written.getvalue()
            replace_file(Path(os.path.realpath(os_path)), content)


class Kernels(KernelSpecManager):
    """Start IPython's kernel by way of reimpl_helpers.lab.kernel, which has no debugger."""

    def get_kernel_spec(self, kernel_name):
        spec = super().get_kernel_spec(kernel_name)
        spec.metadata = {**spec.metadata, "debugger": False}
        python, *rest = spec.argv
        if rest[:2] == ["-m", "ipykernel_launcher"]:
            spec.argv = [python, "-P", "-m", "reimpl_helpers.lab.kernel", *rest[2:]]
        return spec


class PairServer(ServerApp):
    """Stop within a time limit, and not before it is said what would be lost."""

    ending, was_told = None, False

    def init_signal(self):
        """Stop at SIGINT as at SIGTERM where nobody can be asked at a terminal, or it is closed.

        Source: ServerApp.init_signal, which leaves SIGINT to Python then, and SIGHUP always.
        """
        super().init_signal()
        if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
            signal.signal(signal.SIGHUP, self._signal_stop)
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # and it is not ignored
            signal.signal(signal.SIGINT, self._signal_stop)

    def start(self):
        say_nothing_of_who_left(self.io_loop.asyncio_loop, self.log)
        super().start()
        saving.keep_typed(Path(self.root_dir))  # whose save was still to come
        self.end_within(LAST)

    def stop(self, from_signal=False):
        if self._stopping:  # what comes later puts the end off no further
            return
        if from_signal:  # it may be in the middle of a change to what is read here
            self.end_within(LONGEST)
            self.io_loop.add_callback_from_signal(self.stop)
            return
        lost = saving.keep_unsaved(Path(self.root_dir))
        if lost and not self.was_told:
            advice = "Make room for it, or stop again and lose it."
            with contextlib.suppress(OSError):  # the terminal was closed; the page says it too
                print("", *lost, advice, sep="\n", flush=True)
            self.was_told = True
            if self.ending:
                self.ending.cancel()
            return
        self.end_within(PATIENCE)
        self.io_loop.call_later(PATIENCE - LAST / 2, saving.keep_typed, Path(self.root_dir))
        super().stop()

    def end_within(self, seconds):
        """End at the latest after so many seconds from now."""
        if self.ending:
            self.ending.cancel()
        self.ending = threading.Timer(seconds, os._exit, [0])
        self.ending.daemon = True
        self.ending.start()


def say_nothing_of_who_left(loop: asyncio.AbstractEventLoop, log: logging.Logger) -> None:
    """Keep out of the terminal what the libraries say of a page that was closed, and of its pings.

    Source: tornado.websocket.WebSocketProtocol13, which takes jupyter_server's milliseconds for
    seconds, and whose write_message fails, seen or unseen, where nobody is there any more.
    """

    def unless_left(loop, context):
        if not isinstance(context.get("exception"), WebSocketClosedError):
            loop.default_exception_handler(context)

    loop.set_exception_handler(unless_left)
    log.addFilter(lambda said: WebSocketClosedError not in (said.exc_info or ()))
    logging.getLogger("tornado.general").addFilter(
        lambda said: "websocket_ping_timeout" not in said.getMessage()
    )


class LinkedServer(PairServer):
    """Print a link for each person once it listens."""

    people: list[Person] = []
    is_again = False  # there was a lab on this folder before

    def start_app(self):
        super().start_app()
        print(links_to(self), flush=True)


def links_to(server) -> str:
    """Word the links to a server, one per person."""
    links = [
        f"    {person.name}: http://{server.ip}:{server.port}{person.path_to(START)}&token={person.token}"
        for person in server.people
    ]
    saved = "Your notebooks are saved every few seconds."
    if len(links) > 1:
        links = ["A link for each of you, each in a browser of its own:", "", *links]
        saved = "Everything is saved as you type."
    if server.is_again:
        saved += " Tabs that are still open from before: reload them before you type."
    return "\n".join(["", *links, "", f"{saved} Ctrl-C stops the lab."])


SHARED = """You share this lab on your local network, at {address}. Whoever has a link can run
any code on this machine, as you, and what goes over the network is not encrypted. Share on a
network that you trust, hand each link to one person, and stop the lab when you are done.
"""


def arguments_of(work: Path, solo: bool, save_delay: float = SAVE_DELAY) -> list[str]:
    """List what JupyterLab is told of a pair's folder, whoever lets people in."""
    state = work / ".lab"
    return [
        f"--ServerApp.root_dir={work}",
        "--Application.log_level=WARN",  # else the links scroll away
        "--LabApp.extension_manager=readonly",  # the other one asks a server elsewhere
        "--ServerApp.contents_manager_class=reimpl_helpers.lab.serve.PairContents",
        "--ServerApp.kernel_spec_manager_class=reimpl_helpers.lab.serve.Kernels",
        # whoever finds a kernel's port is told what it prints: files have none, keys keep it secret
        "--KernelManager.transport_encryption=auto"
        if os.name == "nt"
        else "--ConnectionFileMixin.transport=ipc",
        f"--LabApp.app_settings_dir={SETTINGS / ('solo' if solo else 'pair')}",
        f"--LabApp.extra_labextensions_path={SETTINGS / 'extensions'}",
        f"--LabApp.workspaces_dir={state / 'workspaces'}",
        "--LanguageServerManager.autodetect=False",  # else it asks npm, at every start
        f"--YDocExtension.disable_rtc={solo}",
        f"--YDocExtension.server_side_execution={not solo}",
        f"--YDocExtension.document_save_delay={save_delay}",
        f"--YDocExtension.session_store_path={state / 'sessions.json'}",
        f"--SQLiteYStore.db_path={state / 'history.db'}",
        f"--BaseFileIdManager.db_path={state / 'file_ids.db'}",
    ]


def unless_given(theirs: list[str], ours: list[str]) -> list[str]:
    """Leave out what somebody sets themselves: an extension that is told twice is left out."""
    named = {option.partition("=")[0] for option in theirs}
    return [option for option in ours if option.partition("=")[0] not in named]


def guarded_by_links(people: list[Person], shared: bool) -> list[str]:
    """List what JupyterLab is told of who may come in, and from where."""
    address = address_here() if shared else HERE
    if shared:
        print(SHARED.format(address=address))
    return [
        f"--ip={address}",
        f"--IdentityProvider.token={secrets.token_hex(24)}",
        "--ServerApp.identity_provider_class=reimpl_helpers.lab.serve.Links",
        f"--LabApp.default_url={people[0].path_to(START)}",
        *(["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []),
    ]


@contextlib.contextmanager
def serving(work: Path, names: list[str]):
    """Make this process ready to serve a pair's folder, and nobody else as long as it does.

    Raises: WorkbookError when a lab is open there already.
    """
    tools = str(Path(sys.executable).parent)  # so that a terminal of the lab finds reimpl
    os.environ.update(COMPILATION | os.environ, REIMPL_WORK=str(work))
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"  # the workbook's kernel before the user's own
    os.environ["PATH"] = os.pathsep.join([tools, os.environ.get("PATH", "")])
    os.environ[NAMES] = str(work / ".lab/names")
    short = None if os.name == "nt" else "/tmp"  # the path of a socket has some 100 bytes
    with no_lab(work), tempfile.TemporaryDirectory(prefix="reimpl-", dir=short) as sockets:
        os.environ["JUPYTER_RUNTIME_DIR"] = sockets
        name_here(work / ".lab/names", names)
        ask_for_the_origin()
        redraw_in_place()
        stop_what_runs()
        saving.save_while_typing()
        saving.save_again()
        yield


def serve(work: Path, people: list[Person], shared: bool, more: list[str]) -> None:
    """Serve a pair's folder, and nothing else, until it is stopped.

    Raises: WorkbookError when a lab is open there already.
    """
    is_again = (work / ".lab").exists()
    with serving(work, [person.name for person in people]):
        users = {person.token: User(**person.identity) for person in people}
        LabApp.serverapp_class = LinkedServer
        ours = unless_given(more, arguments_of(work, len(people) == 1))
        given = [*ours, *guarded_by_links(people, shared), *more]
        server = LabApp.initialize_server(argv=given, config=Config(Links={"users": users}))
        server.people, server.is_again = people, is_again
        server.start()


def ask_for_the_origin():
    """Let no page of another origin open a shared notebook's socket.

    Source: jupyter_server_ydoc.handlers.YDocWebSocketHandler.check_origin, which lets in all.
    """
    YDocWebSocketHandler.check_origin = JupyterHandler.check_origin


def stop_what_runs():
    """Let a lab stop in silence to which no page ever came.

    Source: pycrdt.websocket.WebsocketServer.stop, which raises where nobody has started it.
    """
    stop = JupyterWebsocketServer.stop

    async def stop_if_started(server):
        if server.running:
            await stop(server)

    JupyterWebsocketServer.stop = stop_if_started


def redraw_in_place():
    """Let a display that is updated, such as a growing loss curve, change in a shared notebook.

    Source: jupyter_server_nbmodel.actions._output_hook, which drops `update_display_data`.
    """
    from jupyter_server_nbmodel import actions

    hook, shown = actions._output_hook, {}

    def with_updates(outputs, cell, stream, message):
        kind, content = message["header"]["msg_type"], message["content"]
        display = content.get("transient", {}).get("display_id")
        hook(outputs, cell, stream, message)
        if cell is None or display is None:
            return
        if kind == "display_data":
            shown[display] = cell, len(cell["outputs"]) - 1
        elif kind == "update_display_data" and display in shown:
            its_cell, place = shown[display]
            if place < len(its_cell["outputs"]):
                with its_cell.doc.transaction():
                    its_cell["outputs"][place] = {
                        "output_type": "display_data",
                        "data": content["data"],
                        "metadata": content["metadata"],
                    }

    actions._output_hook = with_updates
