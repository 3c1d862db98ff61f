"""Start a notebook's kernel: IPython's own, without a port where it takes what others send.

So it has no debugger: that one listens at a port, and whoever finds it can run code as the pair.
"""

import os

import zmq
from ipykernel import debugger, iostream, kernelapp
from zmq.eventloop.zmqstream import ZMQStream

LINGER = 3000  # milliseconds that what a forked process printed may take to arrive


class IOPubThread(iostream.IOPubThread):
    """Hear what forked processes print through a file beside the kernel's other sockets.

    Source: ipykernel.iostream.IOPubThread, which hears it at a port, and notes at length whatever
    else arrives there.
    """

    def _setup_pipe_in(self):
        beside = self.socket.last_endpoint.decode()
        if not beside.startswith("ipc://"):  # Windows has no such files
            super()._setup_pipe_in()
            return
        self._pipe_uuid, self.pipe = os.urandom(16), f"{beside}-pipe"
        pipe = self.socket.context.socket(zmq.PULL)
        pipe.linger = 0
        pipe.bind(self.pipe)
        self._pipe_in = ZMQStream(pipe, self.io_loop)
        self._pipe_in.on_recv(self._handle_pipe_msg)

    def _setup_pipe_out(self):
        if not hasattr(self, "pipe"):
            return super()._setup_pipe_out()
        context = zmq.Context()  # sockets do not survive a fork
        pipe = context.socket(zmq.PUSH)
        pipe.linger = LINGER
        pipe.connect(self.pipe)
        return context, pipe


if __name__ == "__main__":
    kernelapp.IOPubThread = IOPubThread
    debugger._is_debugpy_available = False
    kernelapp.launch_new_instance()
