"""Say where this machine is reached: by itself alone, or by its local network."""

import socket

from reimpl_helpers.base.errors import WorkbookError

HERE = "127.0.0.1"


def address_here() -> str:
    """Find this machine's address on its local network; nothing is sent.

    Raises: WorkbookError when it is on none.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # set aside for documentation: nobody is there
            return probe.getsockname()[0]
        except OSError as error:
            raise WorkbookError(
                f"this machine is on no network ({error.strerror}), so there is nobody to share "
                "with. Connect it, or start the lab without --share."
            ) from error
