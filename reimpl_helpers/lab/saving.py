"""Save what is typed in a shared notebook: soon, again where that failed, and never lose it unsaid.

The library saves it after a pause, once; what fails is a line in its log. What is said here to the
page, settings/extensions shows there.
"""

import asyncio
import contextlib
import os
import tempfile
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from weakref import WeakSet

import nbformat
from jupyter_server_ydoc.handlers import YDocWebSocketHandler
from jupyter_server_ydoc.loaders import FileLoader
from jupyter_server_ydoc.rooms import DocumentRoom
from jupyter_server_ydoc.utils import LogLevel, OutOfBandChanges, WriteError
from tornado.web import HTTPError

from reimpl_helpers.base.files import KEPT, replace_file

AGAIN = 2.0  # seconds between two attempts
unsaved: dict[DocumentRoom, str] = {}  # what could not be saved up to now, and why
typed_in: WeakSet[DocumentRoom] = WeakSet()  # what may not be as it is on the disk
UNSAVED = "not saved: "  # what the page knows the event by
RELOADED = "What you had typed is in "  # and this one; the place follows, as the page cuts the rest
LONG_AGO = datetime.min.replace(tzinfo=UTC)  # before any change, so that one is seen again


def save_while_typing():
    """Let a shared notebook be saved soon after a change, however soon the next one follows.

    Source: jupyter_server_ydoc.rooms.DocumentRoom._on_document_change, which puts off a save at
    every change, and cancels one that is under way: who types without a pause is never saved.
    """
    save = DocumentRoom._on_document_change

    def changed(room, target, event):
        if room._update_lock.locked():  # the room's own, as it notes that all is saved
            return
        typed_in.add(room)
        saving = room._saving_document
        if saving is None or saving.done():
            room.saves_again = False
            save(room, target, event)
        elif not room.saves_again:
            room.saves_again = True
            saving.add_done_callback(lambda _: room.saves_again and changed(room, target, event))

    DocumentRoom.saves_again = False
    DocumentRoom._on_document_change = changed


def save_again():
    """Let what could not be saved be tried again until it is, whether or not anybody types.

    What a document holds that is not saved yet, or could not be, outlives a change of its file:
    only when a copy is kept, the document is read anew. A file that was touched, and holds what it
    held, is not changed.

    Source: jupyter_server_ydoc.rooms.DocumentRoom._maybe_save_document, which tries once, and reads
    the file anew where its time differs, as ._on_outofband_change does;
    handlers.YDocWebSocketHandler._clean_room, which forgets a document that nobody looks at any
    more; loaders.FileLoader, which has no place for a file that was deleted, and takes an older
    one for its own.
    """
    attempt, forget = DocumentRoom._maybe_save_document, YDocWebSocketHandler._clean_room
    save, path_of = FileLoader.maybe_save_content, FileLoader.path.fget
    load, write = FileLoader.load_content, FileLoader._save_content
    look = FileLoader.maybe_notify
    reload = DocumentRoom._on_outofband_change

    async def until_saved(room, saving, save_now=False):
        await attempt(room, saving, save_now)
        while room._file.failure:
            unsaved[room] = room._file.failure
            # again and again, as somebody may have opened the page since
            room._emit(LogLevel.ERROR, msg=UNSAVED + room._file.failure)
            await asyncio.sleep(AGAIN)
            with contextlib.suppress(Exception):
                content = await room._document.aget()
                model = {"format": room._file_format, "type": room._file_type}
                await room._file.maybe_save_content({**model, "content": content})
            if room._file.last_modified == LONG_AGO:
                await keep_and_reload(room)
            elif not room._file.failure:
                await attempt(room, None, save_now=True)  # which tells everybody that it is saved
        unsaved.pop(room, None)

    async def forget_when_saved(handler):
        await asyncio.sleep(handler._cleanup_delay or 0)
        while handler.room in unsaved:
            await asyncio.sleep(AGAIN)
        if handler._cleanup_delay:
            handler._cleanup_delay = 0  # it is over: nothing may be typed between look and end
        await forget(handler)

    async def reload_if_saved(room):
        loader, model = room._file, None
        with contextlib.suppress(Exception):  # the library says what is wrong with the file
            model = await load(loader, room._file_format, room._file_type)
        async with room._update_lock:  # and from here without a pause, in which somebody could type
            if loader.failure or is_saving(room):
                loader.last_modified = LONG_AGO  # the next attempt to save goes on from here
                return
            if model and not is_ours(model, loader.ours):
                room._emit(LogLevel.INFO, "overwrite", "The file was changed on the disk.")
                room._document.set(model["content"])
                room._document.dirty = False
                loader.ours = [model["content"]]
        if not model:
            await reload(room)

    async def saved(loader, model):
        try:
            found = None
            while found is None:
                try:
                    found = await save_or_make(loader, model)
                except OutOfBandChanges:
                    loader.last_modified = LONG_AGO  # until it is known that nobody changed it
                    if not is_ours(await load(loader, model["format"], model["type"]), loader.ours):
                        loader.last_modified = LONG_AGO
                        raise WriteError(f"{loader.path} was changed on the disk") from None
        except Exception as error:
            loader.failure = reason(error)
            raise
        loader.failure = ""
        return found

    async def loaded(loader, *kind):
        model = await load(loader, *kind)
        loader.ours = [model["content"]]
        return model

    async def written(loader, model, *rest):
        loader.ours = [*loader.ours[:1], model["content"]]  # it may fail before it writes, or after
        found = await write(loader, model, *rest)
        loader.ours = [model["content"]]
        return found

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

    async def looked(loader):
        with contextlib.suppress(Exception):  # the library says what is wrong with the file
            found = await loader._contents_manager.get(loader.path, content=False)
            if loader.last_modified and found["last_modified"] < loader.last_modified:
                loader.last_modified = LONG_AGO  # a clock was set back, or a copy kept its time
        await look(loader)

    def last_path(loader):
        with contextlib.suppress(RuntimeError):  # the file was deleted
            loader.known = path_of(loader)
        return loader.known

    DocumentRoom._maybe_save_document = until_saved
    DocumentRoom._on_outofband_change = reload_if_saved
    YDocWebSocketHandler._clean_room = forget_when_saved
    FileLoader.maybe_save_content, FileLoader.path = saved, property(last_path)
    FileLoader.load_content, FileLoader._save_content = loaded, written
    FileLoader.maybe_notify = looked
    FileLoader.failure = FileLoader.known = ""
    FileLoader.copied = b""  # what a temporary folder holds, written when the lab ended
    FileLoader.ours = []  # what the file may hold that nobody else wrote into it


def is_saving(room: DocumentRoom) -> bool:
    """Say whether something was typed that is not on the disk yet."""
    return room._saving_document is not None and not room._saving_document.done()


def is_ours(model: dict, ours: list) -> bool:
    """Say whether a file holds one of these contents, which nobody else wrote into it."""
    return text_of(model["content"]) in map(text_of, ours)


def reason(error: BaseException) -> str:
    """Say what kept a file from being saved: what the system said, beneath what the library did."""
    below = error
    while below:
        if isinstance(below, OSError) and below.strerror:
            return below.strerror
        below = below.__cause__ or below.__context__
    return getattr(error, "log_message", None) or str(error) or type(error).__name__


async def keep_and_reload(room: DocumentRoom) -> None:
    """Read a document anew once a copy of what it holds is kept, and tell everybody of both.

    Where one of the two fails, the document is as it was, and it is to be tried again. Where the
    file holds what was last to be saved, a save failed after it had written: nobody changed it.
    """
    loader = room._file
    before = loader.ours
    try:
        model = await loader.load_content(room._file_format, room._file_type)
        if is_ours(model, before):
            return
        type(room._document)().set(model["content"])  # raises here what it would, before a copy
        async with room._update_lock:  # and without a pause, in which somebody could type
            copy = keep_copy(Path(loader.path), text_of(room._document.get()))
            why = f"{loader.path} was changed on the disk before that was saved"
            said = printable(f"{RELOADED}{copy}, as {why}.")
            print(said, flush=True)
            room._document.set(model["content"])
            room._document.dirty = False
    except Exception as error:
        loader.ours, loader.last_modified = before, LONG_AGO
        loader.failure = f"its file was changed on the disk as well: {reason(error)}"
        return
    loader.failure, room.saves_again = "", False
    unsaved.pop(room, None)
    room._emit(LogLevel.ERROR, "overwrite", said)  # the page takes every warning for another one


def keep_typed(work: Path) -> None:
    """Keep what was typed last, and what could not be saved, as no save comes after this."""
    for room in typed_in:
        held, ours = {"content": room._document.get()}, room._file.ours
        if len(ours) != 1 or not is_ours(held, ours):  # of two, one may have been written
            unsaved.setdefault(room, "the lab ended")
    for line in keep_unsaved(work):
        with contextlib.suppress(OSError):  # the terminal was closed
            print(line, flush=True)


def keep_unsaved(work: Path) -> list[str]:
    """Keep what is not saved when a lab ends: in its place, else in a temporary folder; say where.

    Returns what could not be kept at all, a line each.
    """
    lost = []
    for room, why in list(unsaved.items()):
        try:
            said = keep(room, work)
        except OSError as error:
            path = room._file.path
            said = f"{path} is not saved: {why}. A copy cannot be made either: {error}."
            lost.append(printable(said))
            continue
        del unsaved[room]
        if said:
            with contextlib.suppress(OSError):  # the terminal was closed
                print(printable(f"{room._file.path} could not be saved: {why}. {said}"), flush=True)
    return lost


def keep(room: DocumentRoom, work: Path) -> str:
    """Write what a document holds into its file, or else into a temporary folder, and say which.

    Returns nothing to say when it is in its file, or when a copy of it is kept already.

    Raises: OSError when it can be written nowhere.
    """
    loader, held = room._file, room._document.get()
    file, content = work / loader.path, text_of(held)
    if not was_changed(file, loader):
        with contextlib.suppress(OSError):
            replace_file(file, content)
            loader.ours, loader.last_modified = [held], time_of(file)
            return ""
    if loader.copied == content:
        return ""
    copy = keep_copy(Path(loader.path), content)
    loader.ours, loader.copied = [held], content
    return f"What it holds is in {copy}"


def keep_copy(path: Path, content: bytes) -> Path:
    """Write a file of this name into a new temporary folder; return where.

    Raises: OSError when it cannot be written; nothing is then left of it.
    """
    folder = Path(tempfile.mkdtemp(prefix=KEPT))
    try:
        replace_file(folder / path.name, content)
    except OSError:
        folder.rmdir()
        raise
    return folder / path.name


def was_changed(file: Path, loader: FileLoader) -> bool:
    """Say whether a file is there, and was written by somebody else since it was read or saved."""
    try:
        is_as_it_was = time_of(file) == loader.last_modified
        return not is_as_it_was and file.read_bytes() not in map(text_of, loader.ours)
    except (OSError, OverflowError, ValueError):
        return False


def time_of(file: Path) -> datetime:
    return datetime.fromtimestamp(os.lstat(file).st_mtime, UTC)


def printable(text: str) -> str:
    """Spell out what a terminal would act on: a pair names its files as it likes."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in text
    )


def text_of(content) -> bytes:
    """Spell a document as its file does."""
    if isinstance(content, str):
        return content.encode()
    return (nbformat.writes(nbformat.from_dict(content)) + "\n").encode()
