"""Write files whole or not at all."""

import os
import tempfile
from pathlib import Path


def replace_file(path: Path, content: bytes) -> None:
    """Write a file so that a reader, or a crash, sees the old content or the new, never half.

    Raises: OSError when the folder is read-only or the disk is full; the old file is then whole.
    """
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, path.stat().st_mode & 0o777 if path.exists() else 0o644)
        os.replace(temporary, path)
    except BaseException:
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
