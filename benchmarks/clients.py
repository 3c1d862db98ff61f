"""Be somebody at a pair's notebook without a browser: send what JupyterLab sends, see what it sees.

Left out is what a page costs besides: its own files, which a browser keeps.
"""

import asyncio
import json
import uuid
from http import HTTPStatus

from jupyter_ydoc import YNotebook
from pycrdt import create_sync_message, create_update_message, handle_sync_message
from tornado.httpclient import AsyncHTTPClient, HTTPRequest
from tornado.websocket import websocket_connect

SYNC = 0  # the first byte of a message about the document
POLL = 0.1, 1.0  # seconds between two questions whether a cell has run: at first, at most
PATIENCE = 240.0  # seconds that anything may take
BEFORE_A_NOTEBOOK = [  # what JupyterLab asks a server for before it shows one
    "lab/api/settings",
    "lab/api/translations/default",
    "api/kernelspecs",
    "api/contents/?content=1",
    "api/sessions",
]
VIEW = "application/vnd.jupyter.widget-view+json"

AsyncHTTPClient.configure(None, max_clients=1000)


class Client:
    """One person's tab with a notebook in it."""

    def __init__(self, name: str, address: str, cookies):
        self.name, self.address = name, address  # of the pair's server
        path = address[address.index("/user/") :] + "/"
        inside = [cookie for cookie in cookies if cookie.path in ("/", path)]
        self.headers = {"Cookie": "; ".join(f"{c.name}={c.value}" for c in inside)}
        self.headers["X-XSRFToken"] = next(c.value for c in inside if c.name == "_xsrf")
        self.notebook, self.changed = YNotebook(), asyncio.Event()
        self.notebook.ydoc.observe(lambda _: self.changed.set())
        self.tasks = []

    async def ask(self, path: str, method: str = "GET", content=None):
        """Send a request to the server; return the status, and what the answer holds."""
        body = json.dumps(content) if content is not None else None
        request = HTTPRequest(
            f"{self.address}/{path}", method, self.headers, body, request_timeout=PATIENCE,
            connect_timeout=PATIENCE,
        )  # fmt: skip
        answer = await AsyncHTTPClient().fetch(request)
        return answer.code, json.loads(answer.body)

    async def connect(self, path: str, listener):
        """Open a websocket whose messages go to a function."""
        address = f"{self.address}/{path}".replace("http", "ws", 1)
        socket = await websocket_connect(
            HTTPRequest(address, headers=self.headers, connect_timeout=PATIENCE),
            max_message_size=2**30,
        )

        async def listen():
            while (message := await socket.read_message()) is not None:
                await listener(message)

        self.tasks.append(asyncio.ensure_future(listen()))
        return socket

    # --- the document ---

    async def open(self, notebook: str) -> None:
        """Open a notebook, and wait until all of it is there."""
        for path in BEFORE_A_NOTEBOOK:
            await self.ask(path)
        what = {"format": "json", "type": "notebook"}
        _, session = await self.ask(f"api/collaboration/session/{notebook}", "PUT", what)
        self.path, self.room = notebook, f"json:notebook:{session['fileId']}"
        self.socket = await self.connect(
            f"api/collaboration/room/{self.room}?sessionId={session['sessionId']}", self.hear
        )
        await self.socket.write_message(create_sync_message(self.notebook.ydoc), binary=True)
        await self.until(lambda: len(self.notebook.ycells))

    async def hear(self, message: bytes) -> None:
        """Take over a change of somebody else's."""
        if message[0] == SYNC and (reply := handle_sync_message(message[1:], self.notebook.ydoc)):
            await self.socket.write_message(reply, binary=True)

    async def until(self, seen):
        """Wait until something is seen in the document; return it."""
        async with asyncio.timeout(PATIENCE):
            while not (found := seen()):
                self.changed.clear()
                await self.changed.wait()
        return found

    def cell(self, its_id: str):
        return next(cell for cell in self.notebook.ycells if cell["id"] == its_id)

    def source(self, its_id: str) -> str:
        return str(self.cell(its_id)["source"])

    def output(self, its_id: str) -> str:
        """Return what stands below a cell, as text."""
        return json.dumps(self.cell(its_id)["outputs"].to_py(), ensure_ascii=False)

    async def edit(self, its_id: str, start: int, end: int, text: str) -> None:
        """Put a text in the place of what stands from start to end in a cell."""
        before, source = self.notebook.ydoc.get_state(), self.cell(its_id)["source"]
        with self.notebook.ydoc.transaction():
            if end > start:
                del source[start:end]
            source.insert(start, text)
        update = self.notebook.ydoc.get_update(before)
        await self.socket.write_message(create_update_message(update), binary=True)

    # --- the kernel ---

    async def start_kernel(self) -> None:
        """Start the notebook's kernel, or find the one that it has."""
        what = {"path": self.path, "name": self.path, "type": "notebook"}
        what["kernel"] = {"name": "python3"}
        _, session = await self.ask("api/sessions", "POST", what)
        self.kernel, self.session = session["kernel"]["id"], uuid.uuid4().hex
        channels = f"api/kernels/{self.kernel}/channels?session_id={self.session}"
        self.channels = await self.connect(channels, self.hear_kernel)

    async def hear_kernel(self, message) -> None:
        """Take what the kernel says to widgets, and do nothing with it."""

    async def run(self, its_id: str) -> None:
        """Run a cell, and wait until it has run.

        Raises: HTTPClientError when it ends in an error.
        """
        where = {"cell_id": its_id, "document_id": self.room, "document_path": self.path}
        what = {"code": self.source(its_id), "metadata": where}
        status, reply = await self.ask(f"api/kernels/{self.kernel}/execute", "POST", what)
        place, pause = reply["request_url"].lstrip("/"), POLL[0]
        while status == HTTPStatus.ACCEPTED:
            await asyncio.sleep(pause)
            pause = min(2 * pause, POLL[1])
            status, _ = await self.ask(place)

    async def click(self, its_id: str, message: dict) -> None:
        """Send what a click in a widget sends, to the widget below a cell."""
        outputs = self.cell(its_id)["outputs"].to_py()
        views = [out["data"][VIEW] for out in outputs if VIEW in out.get("data", {})]
        header = {
            "msg_id": uuid.uuid4().hex, "msg_type": "comm_msg", "session": self.session,
            "username": "", "version": "5.3", "date": "",
        }  # fmt: skip
        content = {
            "comm_id": views[0]["model_id"],
            "data": {"method": "custom", "content": message},
        }
        sent = {"header": header, "parent_header": {}, "metadata": {}, "content": content}
        await self.channels.write_message(json.dumps({**sent, "channel": "shell", "buffers": []}))

    def close(self) -> None:
        for task in self.tasks:
            task.cancel()
        self.socket.close()
        self.channels.close()
