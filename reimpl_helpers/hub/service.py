"""Run beside the hub as long as it runs, and no longer."""

import os
import threading
import time
from collections.abc import Callable

EVERY = 1  # seconds
TO_SAVE = 5  # seconds that pairs' servers have to end by themselves when the hub is gone
LISTENER = "REIMPL_LISTENER"  # names the open socket that a server is handed over


def watch_parent(is_gone: Callable[[], None]) -> None:
    """Do something when the process that started this one is gone."""
    parent = os.getppid()

    def watch():
        while os.getppid() == parent:
            time.sleep(EVERY)
        is_gone()

    threading.Thread(target=watch, daemon=True).start()


def serve(main: Callable[[], None], is_gone: Callable[[], None] = lambda: os._exit(1)) -> None:
    """Run a service of the hub's until the hub stops it, or is gone."""
    watch_parent(is_gone)
    try:
        main()
    except KeyboardInterrupt:  # so the hub stops a service
        pass
