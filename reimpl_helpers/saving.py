"""Save what is typed in a shared notebook: soon, again where that failed, and never lose it unsaid.

The library saves it after a pause, once; what fails is a line in its log. What is said here to the
page, lab_settings/extensions shows there.
"""

import asyncio
import contextlib
import tempfile
from http import HTTPStatus
from pathlib import Path

import nbformat
from jupyter_server_ydoc.handlers import YDocWebSocketHandler
from jupyter_server_ydoc.loaders import FileLoader
from jupyter_server_ydoc.rooms import DocumentRoom
from jupyter_server_ydoc.utils import LogLevel, OutOfBandChanges
from tornado.web import HTTPError

from reimpl_helpers.files import KEPT, replace_file

AGAIN = 2.0  # seconds between two attempts
unsaved: dict[DocumentRoom, str] = {}  # what could not be saved up to now, and why
UNSAVED = "not saved: "  # what the page knows the event by


def save_while_typing():
    """Let a shared notebook be saved soon after a change, however soon the next one follows.

    Source: jupyter_server_ydoc.rooms.DocumentRoom._on_document_change, which puts off a save at
    every change, and cancels one that is under way: who types without a pause is never saved.
    """
    save = DocumentRoom._on_document_change

    def changed(room, target, event):
        if room._update_lock.locked():  # the room's own, as it notes that all is saved
            return
        saving = room._saving_document
        if saving is None or saving.done():
            room.saves_again = False
            save(room, target, event)
        elif not room.saves_again:
            room.saves_again = True
            saving.add_done_callback(lambda _: changed(room, target, event))

    DocumentRoom.saves_again = False
    DocumentRoom._on_document_change = changed


def save_again():
    """Let what could not be saved be tried again until it is, whether or not anybody types.

    Source: jupyter_server_ydoc.rooms.DocumentRoom._maybe_save_document, which tries once;
    handlers.YDocWebSocketHandler._clean_room, which forgets a document that nobody looks at any
    more; loaders.FileLoader, which has no place for a file that was deleted.
    """
    attempt, forget = DocumentRoom._maybe_save_document, YDocWebSocketHandler._clean_room
    save, path_of = FileLoader.maybe_save_content, FileLoader.path.fget

    async def until_saved(room, saving, save_now=False):
        await attempt(room, saving, save_now)
        if not room._file.failure:
            return
        try:
            while room._file.failure:
                unsaved[room] = room._file.failure
                # again and again, as somebody may have opened the page since
                room._emit(LogLevel.ERROR, msg=UNSAVED + room._file.failure)
                await asyncio.sleep(AGAIN)
                with contextlib.suppress(Exception):
                    content = await room._document.aget()
                    model = {"format": room._file_format, "type": room._file_type}
                    await room._file.maybe_save_content({**model, "content": content})
        finally:
            unsaved.pop(room, None)
        await attempt(room, None, save_now=True)  # which tells everybody that it is saved

    async def forget_when_saved(handler):
        while handler.room in unsaved:
            await asyncio.sleep(AGAIN)
        await forget(handler)

    async def saved(loader, model):
        loader.failure = ""
        try:
            return await save_or_make(loader, model)
        except OutOfBandChanges:
            raise
        except Exception as error:
            loader.failure = reason(error)
            raise

    async def save_or_make(loader, model):
        try:
            found = await save(loader, model)
        except HTTPError as error:
            if error.status_code != HTTPStatus.NOT_FOUND:
                raise
            async with loader._lock:  # it was deleted
                return await loader._save_content(model, asyncio.Event(), loader.path)
        if found is None:
            raise PermissionError(f"{loader.path} may not be written to")
        return found

    def last_path(loader):
        with contextlib.suppress(RuntimeError):  # the file was deleted
            loader.known = path_of(loader)
        return loader.known

    DocumentRoom._maybe_save_document = until_saved
    YDocWebSocketHandler._clean_room = forget_when_saved
    FileLoader.maybe_save_content, FileLoader.path = saved, property(last_path)
    FileLoader.failure = FileLoader.known = ""


def reason(error: BaseException) -> str:
    """Say what kept a file from being saved: what the system said, beneath what the library did."""
    below = error
    while below := below.__cause__ or below.__context__:
        if isinstance(below, OSError) and below.strerror:
            return below.strerror
    return getattr(error, "log_message", None) or str(error) or type(error).__name__


def keep_unsaved(work: Path) -> list[str]:
    """Keep what is not saved when a lab ends: in its place, else in a temporary folder; say where.

    Returns what could not be kept at all, a line each.
    """
    lost = []
    for room, why in unsaved.items():
        path, content = Path(room._file.path), text_of(room._document.get())
        with contextlib.suppress(OSError):
            replace_file(work / path, content)
            continue
        try:
            copy = Path(tempfile.mkdtemp(prefix=KEPT), path.name)
            replace_file(copy, content)
            print(f"{path} could not be saved: {why}. What it holds is in {copy}", flush=True)
        except OSError as error:
            lost.append(f"{path} is not saved: {why}. A copy cannot be made either: {error}.")
    return lost


def text_of(content) -> bytes:
    """Spell a document as its file does."""
    if isinstance(content, str):
        return content.encode()
    return (nbformat.writes(nbformat.from_dict(content)) + "\n").encode()
