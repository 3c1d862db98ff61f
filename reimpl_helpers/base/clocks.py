"""Interrupt code that takes too long, by the processor time that it takes.

On a busy machine the clock on the wall runs on while nothing is computed, so it has the word only
where code waits: for an answer, a lock, or for nothing.
"""

import _thread
import contextlib
import signal
import threading
import time

TIME_LIMIT = 20.0  # seconds of a core for one call of a piece, compilation by JAX included
PATIENCE = 4  # times as long by the clock on the wall
AGAIN = 0.5  # seconds between one interruption and the next


class TookTooLong(Exception):
    """Say that a time limit ended a call, and after how many seconds."""

    def __init__(self, seconds: float):
        super().__init__(f"stopped after {seconds:g} seconds")
        self.seconds = seconds


class Limit:
    """One limit that is kept just now."""

    def __init__(self, seconds):
        self.seconds, self.is_inside, self.over_after = seconds, True, 0.0
        self.processor, self.wall = time.process_time(), time.monotonic()
        self.interrupt_at = 0.0

    def keep(self):
        """Interrupt the main thread where time has run out, again and again."""
        now = time.monotonic()
        # of several threads at once, the processor's time runs faster than the clock on the wall
        busy = min(time.process_time() - self.processor, now - self.wall)
        if busy > self.seconds:
            self.over_after = self.over_after or self.seconds
        elif now - self.wall > PATIENCE * self.seconds:
            self.over_after = self.over_after or PATIENCE * self.seconds
        if self.over_after and now >= self.interrupt_at:
            self.interrupt_at = now + AGAIN
            _thread.interrupt_main()

    def interrupted(self, number, frame):
        if self.is_inside or not self.over_after:  # else an interruption of ours came too late
            raise KeyboardInterrupt


class Watch:
    """Keep all limits in one thread: to start one for each call takes longer than most calls."""

    def __init__(self):
        self.limits, self.is_needed, self.thread = [], threading.Event(), None
        self.lock = threading.Lock()  # of whoever interrupts, or takes a limit away

    def add(self, limit):
        self.limits.append(limit)
        if self.thread is None or not self.thread.is_alive():  # a fork has none
            self.thread = threading.Thread(target=self.run, daemon=True)
            self.thread.start()
        self.is_needed.set()

    def run(self):
        while True:
            self.is_needed.wait()
            self.is_needed.clear()
            while limits := [*self.limits]:
                time.sleep(min(0.05, *(limit.seconds for limit in limits)))
                for limit in limits:
                    with self.lock:
                        if limit in self.limits:
                            limit.keep()

    def remove(self, limit):
        """Take a limit away: it interrupts nobody any more."""
        with self.lock:
            self.limits.remove(limit)


watch = Watch()


@contextlib.contextmanager
def time_limit(seconds):
    """Interrupt the code inside after so many seconds, and again until it stops.

    Works on the main thread of every platform: the interruption arrives as the one that the
    stop button sends. Another thread cannot be interrupted, and has no limit.

    Units: seconds of processor time, or four times as many on the wall
    Raises: TookTooLong when time ran out.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    limit = Limit(seconds)
    handler = signal.signal(signal.SIGINT, limit.interrupted)
    try:
        watch.add(limit)
        yield
        limit.is_inside = False
    except BaseException as error:
        limit.is_inside = False
        if not limit.over_after:
            raise
        raise TookTooLong(limit.over_after).with_traceback(error.__traceback__) from None
    finally:
        limit.is_inside = False
        watch.remove(limit)
        signal.signal(signal.SIGINT, handler)
    if limit.over_after:  # the code inside swallowed the interruption, as pytest does
        raise TookTooLong(limit.over_after)
