"""Be two people in front of one lab: start it, open a browser each, type, run, look."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from reimpl_helpers.authoring.solved import STABLE

SHOTS = Path(__file__).parent.parent / "screenshots"
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
NEEDED = "CI" in os.environ and sys.platform == "linux"  # where nobody may skip them
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None and not NEEDED, reason="neither chromium nor google-chrome is installed"
)
PANEL = ".jp-NotebookPanel:not(.lm-mod-hidden)"  # of the tabs that are open, the one in view
SHOWN = f"{PANEL} .jp-Notebook"
PATIENCE = 60.0  # seconds: two busy cores
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
]  # fmt: skip


class Lab:
    """A lab that was started as a pair does, on a folder of its own; killed at the end."""

    def __init__(self, home: Path, *options: str):
        self.home, self.options, self.process = home, options, None
        self.was_killed = False
        self.work = home / "work"

    def start(self, port: int = 0):
        self.home.mkdir(parents=True, exist_ok=True)
        self.log = self.home / f"log{time.monotonic_ns()}"
        environment = os.environ | STABLE | {"REIMPL_WORK": str(self.work), "HOME": str(self.home)}
        command = [sys.executable, "-m", "reimpl_helpers.cli", "lab", *self.options]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [*command, "--no-browser", f"--port={port}"],
                env=environment, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                start_new_session=True, cwd=self.home,
            )  # fmt: skip
        self.links = wait_for(self._links)
        return self

    def _links(self):
        if self.process.poll() is not None:
            raise AssertionError(f"the lab ended: {self.log.read_text()}")
        return re.findall(r"http://127\.0\.0\.1:\d+/\S+token=\w+", self.log.read_text())

    @property
    def port(self) -> int:
        return int(re.search(r":(\d+)/", self.links[0])[1])

    @property
    def token(self) -> str:
        return self.links[0].partition("token=")[2]

    def kill(self):
        """End the server, and the kernels that it started, at once."""
        self.was_killed = True
        if os.name == "nt":
            self.process.kill()
        else:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def wait_for(look, seconds: float = PATIENCE, what: str = ""):
    """Look again and again until something is there.

    Raises: AssertionError when nothing came in time.
    """
    end = time.monotonic() + seconds
    while not (found := look()):
        if time.monotonic() > end:
            raise AssertionError(f"not seen within {seconds:g} seconds: {what or look}")
        time.sleep(0.02)
    return found


class Seat:
    """One person's browser, with a notebook of the lab in it."""

    def __init__(self, browser, link: str):
        self.browser, self.link = browser, link
        self.sit_down()

    def sit_down(self):
        self.context = self.browser.new_context(viewport={"width": 1300, "height": 900})
        self.page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE * 1000)
        self.said = []
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.waits_for = {}
        self.page.on("request", lambda request: self.waits_for.update({request: request.url}))
        for over in ("requestfinished", "requestfailed"):
            self.page.on(over, lambda request: self.waits_for.pop(request, None))
        wait_longer = self.page.locator(".jp-Dialog-buttonLabel[aria-label='Continue waiting']")
        self.dismiss(wait_longer)  # on a busy machine

    def dismiss(self, button):
        """Press a button of a dialog whenever it is in the way, also where another one follows."""
        self.page.add_locator_handler(button, lambda button: button.click(), no_wait_after=True)

    def open(self, notebook: str):
        """Open a notebook by the link, which loads the page."""
        link = self.link.replace("00_start_here.ipynb", notebook)
        self.page.goto(link)
        self.wait()
        return self

    def open_here(self, notebook: str):
        """Open a notebook by the menu, in the page that is there."""
        if self.page.is_closed():
            self.sit_down()
            return self.open(notebook)
        self.menu("File", "Open from Path")
        self.page.locator(".jp-Dialog input").fill(notebook)
        self.page.keyboard.press("Enter")
        name = Path(notebook).name
        self.page.wait_for_selector(f".jp-mod-current .lm-TabBar-tabLabel:text-is('{name}')")
        self.wait()
        return self

    def menu(self, *path: str):
        """Choose an item of the menu."""
        self.page.locator(".lm-MenuBar-item", has_text=path[0]).click()
        for item in path[1:-1]:
            self.page.locator(".lm-Menu-item", has_text=item).first.hover()
        self.page.locator(".lm-Menu-item", has_text=re.compile(f"^{path[-1]}")).click()

    def wait(self):
        from playwright.sync_api import TimeoutError  # slow to import, for who opens no browser

        try:
            self.page.wait_for_selector(f"{SHOWN} .jp-Cell")
        except TimeoutError as error:
            waits_for = ", ".join(self.waits_for.values()) or "no answer"
            raise AssertionError(
                f"no notebook opened; the page waits for {waits_for} and said {self.said}"
            ) from error
        self.page.wait_for_selector(f"{PANEL} .jp-Notebook-ExecutionIndicator[data-status='idle']")
        self.page.wait_for_selector("#jp-main-statusbar >> text=/\\| Idle/")  # there is a kernel

    def cell(self, number: int):
        """Bring a cell into view, by its place in the notebook, and return it."""
        cell = self.page.locator(f"{SHOWN} [data-windowed-list-index='{number}']")
        self.page.locator(SHOWN).hover()
        for direction in (600, -600) * 4:  # again, where the page is slow to draw itself
            for _ in range(60):
                if cell.count():
                    cell.scroll_into_view_if_needed()
                    return cell
                self.page.mouse.wheel(0, direction)
                self.page.wait_for_timeout(50)
        raise AssertionError(f"cell {number} is not in the notebook")

    def write(self, number: int, text: str):
        self.cell(number).locator(".cm-content").click()
        self.page.keyboard.press("Control+a")
        self.page.keyboard.insert_text(text)

    def run(self, number: int):
        self.cell(number).locator(".cm-content").click()
        self.page.keyboard.press("Control+Enter")

    def has_run(self, number: int, times: int = 1):
        """Wait until a cell has its number, the last run that was asked for included."""
        prompt = r"\[(\d+)\]:"

        def done():
            text = self.cell(number).locator(".jp-InputPrompt").inner_text()
            return (found := re.search(prompt, text)) and int(found[1]) >= times

        wait_for(done, what=f"the end of cell {number}")

    def sees_source(self, number: int, text: str):
        """Wait until a cell holds a text."""
        wanted = "".join(text.split())

        def there():
            lines = self.cell(number).locator(".cm-content").inner_text()
            return wanted[-200:] in "".join(lines.split())

        wait_for(there, what=f"{text[-200:]!r} in cell {number}")

    def is_told(self, text: str):
        """Wait until the page says something in its corner."""
        self.page.locator(".Toastify__toast", has_text=text).last.wait_for()

    def bar(self):
        return self.page.locator(f"{PANEL} .reimpl-bar")

    def driver(self) -> str:
        """Say what the bar says about the driver; nothing where there is no bar."""
        return "".join(self.bar().locator(".reimpl-driver").all_inner_texts())

    def theme(self, name: str):
        """Choose a theme, from the menu."""
        self.menu("Settings", "Theme", f"{name}$")
        self.page.wait_for_timeout(1500)

    def output(self, number: int) -> str:
        outputs = self.cell(number).locator(".jp-OutputArea-output").all_inner_texts()
        return "\n".join(outputs)

    def sees(self, number: int, text: str, seconds: float = PATIENCE) -> float:
        """Wait until a cell shows a text; return how long that took, in seconds."""
        start = time.monotonic()
        wait_for(lambda: text in self.output(number), seconds, f"{text!r} in cell {number}")
        return time.monotonic() - start
