"""Run beside the hub as long as it runs, and no longer."""

import os
import threading
import time
from collections.abc import Callable

EVERY = 1  # seconds


def serve(main: Callable[[], None]) -> None:
    """Run a service of the hub's until the hub stops it, or is gone."""
    hub = os.getppid()

    def watch():
        while os.getppid() == hub:
            time.sleep(EVERY)
        os._exit(1)  # it was killed, and the next one starts services of its own

    threading.Thread(target=watch, daemon=True).start()
    try:
        main()
    except KeyboardInterrupt:  # so the hub stops a service
        pass
