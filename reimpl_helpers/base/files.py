"""Write files whole or not at all, and one writer at a time."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

PATIENCE = 30  # seconds that a writer waits for another one
KEPT = "unsaved-"  # begins the name of a temporary folder for what could not be saved in its place


def replace_file(path: Path, content: bytes) -> None:
    """Write a file so that a reader, or a crash, sees the old content or the new, never half.

    Raises: OSError when the folder is read-only or the disk is full; the old file is then whole.
    """
    replace_files({path: content})


def replace_files(contents: dict[Path, bytes], mode: int = 0o644) -> None:
    """Write several files, in this order, once every one of them is safely on the disk.

    `mode` says who may read and write those that are new.

    Raises: OSError when the folder is read-only or the disk is full; the old files are then whole.
    """
    staged = {}
    try:
        for path, content in contents.items():
            descriptor, staged[path] = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(staged[path], path.stat().st_mode & 0o777 if path.exists() else mode)
        for path, temporary in staged.items():
            os.replace(temporary, path)
    except BaseException:
        for temporary in staged.values():
            Path(temporary).unlink(missing_ok=True)
        raise


def add_file(path: Path, content: bytes) -> bool:
    """Write a file only where there is none; return whether it was written.

    Raises: OSError when the folder is read-only or the disk is full.
    """
    if path.exists():
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, content)
    return True


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """Make a temporary folder, and remove it afterwards, whatever was made in it."""
    folder = Path(tempfile.mkdtemp())
    try:
        yield folder
    finally:
        remove_folder(folder)


def remove_folder(folder: Path) -> None:
    """Remove a folder with all that is in it, as far as that can be done.

    Python's own way fails where folders lie in each other more deeply than functions may call.
    """
    if os.name == "nt":
        shutil.rmtree(folder, ignore_errors=True)
    else:
        subprocess.run(["rm", "-rf", "--", folder], capture_output=True)


@contextlib.contextmanager
def locked(folder: Path):
    """Keep other writers of a folder, in any process, waiting as long as this one is inside.

    Raises: OSError when nothing can be written there, or another writer does not finish.
    """
    try:
        lock = FileLock(folder / ".lock", timeout=PATIENCE)
        lock.acquire()
    except Timeout as error:
        raise OSError(None, "another program holds its .lock") from error
    try:
        yield
    finally:
        lock.release()
