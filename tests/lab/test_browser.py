"""Two people in two browsers, in one notebook: everything both must see, and nothing lost."""

import contextlib
import functools
import re
import shutil
import sys
import time
from pathlib import Path

import nbformat
import psutil
import pytest
from browser import PANEL, SHOTS, SHOWN, Lab, Seat, needs_chromium, wait_for

from reimpl_helpers.authoring.solved import solved
from reimpl_helpers.base.places import NOTEBOOKS
from reimpl_helpers.pair.log import Log
from reimpl_helpers.tracks.notebooks import exercise_of

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """One lab for the tests that leave it as it is."""
    lab = Lab(tmp_path_factory.mktemp("shared"), "--pair", "Ada,Grace").start()
    yield lab
    lab.kill()


@pytest.fixture(scope="module")
def kept(shared, chromium):
    """Two people at that lab, in pages that stay: to load one takes longer than most tests."""
    seats = [Seat(chromium, link).open("00_start_here.ipynb") for link in shared.links]
    yield seats
    for seat in seats:
        seat.context.close()


@pytest.fixture
def pair(kept, request):
    """Have the two open a notebook of the shared lab; leave their pages as they were."""

    def both(notebook):
        for seat in kept:
            seat.open_here(notebook)
        return kept

    yield both
    failed = look(request, kept)
    for seat in kept:
        if failed or seat.page.is_closed():
            seat.context.close()
        else:
            seat.menu("File", "Close All Tabs")  # the original, too


@pytest.fixture
def lab(tmp_path):
    """A lab of a test's own, to be killed."""
    lab = Lab(tmp_path, "--pair", "Ada,Grace").start()
    yield lab
    lab.kill()


@pytest.fixture
def sit(lab, chromium, request):
    """Have two people open a notebook of the lab that is a test's own."""
    seats = []

    def both(notebook):
        seats.extend(Seat(chromium, link).open(notebook) for link in lab.links)
        return seats

    yield both
    ended = lab.was_killed or lab.process.poll() is not None
    look(request, seats, {"Failed to fetch"} if ended else set())
    for seat in seats:
        seat.context.close()


def look(request, seats, expected=frozenset()) -> bool:
    """Take screenshots if a test has failed; if it has not, require that no page raised an error.

    `expected` are those that a page raises when its server is gone.
    """
    failed = getattr(request.node, "call_failed", False)
    for seat, name in zip(seats, ("ada", "grace"), strict=False):
        if failed and not seat.page.is_closed():
            SHOTS.mkdir(exist_ok=True)
            seat.page.screenshot(path=SHOTS / f"{request.node.name}-{name}.png")
    said = {error for seat in seats for error in seat.said}
    for seat in seats:
        seat.said.clear()
    assert failed or said <= expected, "a page raised an error"
    return failed


def places(lab, notebook):
    """Say at which place each cell of a notebook stands, by its id."""
    cells = nbformat.read(lab.work / notebook, as_version=4).cells
    return {cell.id: place for place, cell in enumerate(cells)}


def text_on_disk(lab, notebook, place):
    """Read a cell from the file, which is replaced while it is saved, and so always whole."""
    return nbformat.read(lab.work / notebook, as_version=4).cells[place].source


# --- the whole of it ---


@pytest.mark.slow
def test_two_people_complete_the_first_notebook(lab, sit):
    name = "autoencoder/01_forward_pass.ipynb"
    seats = ada, grace = sit("00_start_here.ipynb")
    for seat in seats:  # from the link, by a click on the start page
        seat.page.locator("a", has_text="45 min").first.click()
        seat.page.wait_for_selector(f"{SHOWN} h1:has-text('The forward pass')")
        seat.wait()
        beside = seat.page.locator(".jp-FileEditor", has_text="class Autoencoder(nn.Module):")
        assert beside.bounding_box()["x"] > seat.page.locator(PANEL).bounding_box()["x"] + 300
    answers = {cell.id: cell.source for cell in solved(NOTEBOOKS / name).cells}
    cells = nbformat.read(lab.work / name, as_version=4).cells
    asked, driver, navigator = None, ada, grace
    for place, cell in enumerate(cells):
        if cell.cell_type != "code":
            continue
        if asked:
            navigator.bar().locator("input").fill("5, 8")
            navigator.page.keyboard.press("Enter")
            wait_for(lambda d=driver: "said 5, 8" in d.bar().inner_text())
        if piece := exercise_of(cell):
            driver.write(place, answers[cell.id])
            driver.page.keyboard.press("Control+Enter")
            navigator.sees_source(place, answers[cell.id])
        else:
            driver.run(place)
        driver.has_run(place)
        if asked:
            for seat in seats:
                seat.sees(place, f"✓ {asked}")
            driver, navigator = navigator, driver
        asked = piece
    for seat in seats:
        seat.sees(places(lab, name)["shared-code"], "of 5 predictions came true")
        wait_for(lambda s=seat: "5 of 5 pieces" in s.bar().inner_text())
    assert "def autoencoder" in (lab.work / "autoencoder/model.py").read_text("utf-8")
    events = Log(lab.work).read()
    right = [(e["piece"], e["driver"]) for e in events if e.get("state") == "right"]
    pieces = [exercise_of(cell) for cell in cells if exercise_of(cell)]
    assert right == list(zip(pieces, ["Ada", "Grace"] * 3, strict=False))
    assert {path.name for path in lab.work.iterdir() if not path.name.startswith(".")} == {
        "00_start_here.ipynb", "log.jsonl", "autoencoder", "gnn", "mlstm", "transformer",
    }  # fmt: skip


# --- one notebook, two people ---


@pytest.mark.slow
def test_what_one_types_the_other_sees_with_a_name_on_the_cursor(shared, pair):
    ada, grace = pair("gnn/01_forward_pass.ipynb")
    place = places(shared, "gnn/01_forward_pass.ipynb")["start"]
    ada.cell(place), grace.cell(place)
    ada.write(place, "x = 1  # typed by Ada")
    grace.sees_source(place, "typed by Ada")
    grace.cell(place).locator(".cm-content").click()
    grace.page.keyboard.press("Control+End")
    grace.page.keyboard.type("\ny = 2  # typed by Grace")
    ada.sees_source(place, "typed by Grace")
    ada.page.locator(f"{SHOWN} .jp-remote-cursor").last.hover(force=True)
    flags = ada.page.locator(".jp-remote-userFlag")
    wait_for(lambda: "Grace" in "".join(flags.all_text_contents()), what="Grace's cursor")


@pytest.mark.slow
def test_a_slider_moved_by_one_moves_for_both(shared, pair):
    name = "autoencoder/02_shapes.ipynb"
    seats = ada, grace = pair(name)
    at = places(shared, name)
    for cell in ("start", "follow-setup", "explore-code"):
        ada.run(at[cell])
        ada.has_run(at[cell])
    for seat, other in (seats, reversed(seats)):
        seat.cell(at["explore-code"]), other.cell(at["explore-code"])
        handle = seat.page.locator(".noUi-handle").nth(1)
        before = other.output(at["explore-code"])
        handle.focus()
        seat.page.keyboard.press("ArrowRight")
        wait_for(lambda o=other, b=before: o.output(at["explore-code"]) != b, what="a new table")
    assert "pixels 66" in ada.output(at["explore-code"])
    grace.page.reload()
    grace.wait()
    grace.sees(at["explore-code"], "pixels 66")


def test_both_press_run_and_one_clean_output_remains(shared, pair):
    name = "gnn/02_shapes.ipynb"
    seats = ada, grace = pair(name)
    place = places(shared, name)["start"]
    ada.write(place, "import time\nfor i in range(20):\n    print('line', i)\n    time.sleep(0.02)")
    grace.sees_source(place, "line")
    for seat in seats:
        seat.cell(place).locator(".cm-content").click()
    for seat in seats:
        seat.page.keyboard.press("Control+Enter")
    ada.has_run(place, 2), grace.has_run(place, 2)
    for seat in seats:
        assert re.findall(r"\d+", seat.output(place)) == [str(i) for i in range(20)]


@pytest.mark.slow
def test_what_nobody_changes_is_not_saved_again(shared, pair):
    name = "gnn/02_shapes.ipynb"
    ada, _ = pair(name)
    ada.write(places(shared, name)["start"], "x = 1")
    wait_for(lambda: "x = 1" in (shared.work / name).read_text("utf-8"), what="the saved notebook")

    def is_left_alone():
        before = (shared.work / name).stat().st_mtime_ns
        time.sleep(2)
        return (shared.work / name).stat().st_mtime_ns == before

    wait_for(is_left_alone, 10, "two seconds without a save")


def full_disk(server, path):
    """Let a server write no file as large as this one; return what makes room."""
    before = server.rlimit(psutil.RLIMIT_FSIZE)
    server.rlimit(psutil.RLIMIT_FSIZE, (path.stat().st_size - 1000, before[1]))
    return lambda: server.rlimit(psutil.RLIMIT_FSIZE, before)


def renamed(folder):
    return functools.partial(folder.rename(folder.with_name("elsewhere")).rename, folder)


def renamed_folder(server, path):
    return renamed(path.parent)


def renamed_work(server, path):
    work = path.parent.parent
    rename_back = renamed(work)

    def give_back():
        if work.exists():  # the lab has kept there how windows lie
            assert [found.name for found in work.iterdir()] == [".lab"]
            shutil.rmtree(work)
        rename_back()

    return give_back


def deleted_file(server, path):
    path.unlink()


on_linux = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere no limit can be set")


@pytest.mark.slow
@on_linux
def test_what_cannot_be_saved_is_said_in_the_page_and_saved_once_it_can_be(shared, pair, fault):
    name = "gnn/02_shapes.ipynb"
    seats = ada, grace = pair(name)
    path, server = shared.work / name, psutil.Process(shared.process.pid)
    place = places(shared, name)["start"]
    for seat in seats:  # the list of files looks now and then, and says that its folder is gone
        gone = seat.page.get_by_role("dialog").filter(has_text="Directory not found")
        seat.dismiss(gone.get_by_role("button", name="Close"))
    for number, hinder in enumerate((full_disk, renamed_folder, renamed_work, deleted_file)):
        typed = f"typed = {number}"
        with contextlib.ExitStack() as hindered:  # or a failure here makes others fail
            if allow := hinder(server, path):
                hindered.callback(allow)
            ada.write(place, typed)
            for seat in seats if allow else ():
                seat.is_told(f"{name} is not saved: ")
        wait_for(lambda t=typed: path.exists() and t in path.read_text("utf-8"), what=typed)
        fault(files_lost=typed not in path.read_text("utf-8"), events_lost=0)
        for seat in seats if allow else ():
            seat.is_told(f"{name} is saved again")
        grace.sees_source(place, typed)
    for seat in seats:  # the list of files misses the folder as well
        seat.said[:] = [error for error in seat.said if "404 Not Found" not in error]


@pytest.mark.slow
def test_who_runs_a_cell_may_leave(shared, pair):
    name = "gnn/03_params.ipynb"
    ada, grace = pair(name)
    place = places(shared, name)["start"]
    ada.write(place, "import time\nfor i in range(20):\n    print('row', i)\n    time.sleep(0.1)")
    ada.page.keyboard.press("Control+Enter")
    grace.sees(place, "row 2")
    ada.page.close()
    grace.sees(place, "row 19")
    grace.has_run(place)


@pytest.mark.slow
def test_a_question_in_the_code_is_answered_by_either(shared, pair):
    name = "gnn/05_training_test.ipynb"
    ada, grace = pair(name)
    place = places(shared, name)["start"]
    ada.write(place, "'ready'")  # what a new kernel asks first may come before who should hear it
    ada.page.keyboard.press("Control+Enter")
    grace.sees(place, "ready")
    ada.write(place, "print('hello', input('who? '))")
    ada.page.keyboard.press("Control+Enter")
    ada.page.locator(".jp-Stdin-input").fill("Grace")
    ada.page.keyboard.press("Enter")
    grace.sees(place, "hello Grace")


@pytest.mark.slow
def test_a_curve_that_grows_grows_for_both(shared, pair):
    name = "gnn/04_unit_tests.ipynb"
    ada, grace = pair(name)
    place = places(shared, name)["start"]
    ada.write(
        place,
        "import time\nfrom reimpl_helpers.pictures import LiveLossCurve\nprint('above')\n"
        "live, losses = LiveLossCurve(total_steps=30), []\nfor step in range(30):\n"
        "    losses.append(1 / (step + 1))\n    live(losses)\n    time.sleep(0.1)",
    )
    ada.page.keyboard.press("Control+Enter")
    drawn = set()

    def pictures():
        images = grace.cell(place).locator("img")
        drawn.update(images.evaluate_all("images => images.map(image => image.src.length)"))
        return "step 30 of 30" in grace.output(place)

    wait_for(pictures, what="the end of the training")
    assert len(drawn) > 2, "the curve was not redrawn"
    assert grace.cell(place).locator("img").count() == 1
    assert grace.output(place).startswith("above")


# --- the bar ---


@pytest.mark.slow
def test_a_swap_is_seen_by_both(shared, pair):
    name = "mlstm/01_forward_pass.ipynb"
    ada, grace = pair(name)
    ada.run(places(shared, name)["start"])
    for seat, other in ((ada, grace), (grace, ada), (ada, grace)):
        before = wait_for(lambda: ada.driver() == grace.driver() and ada.driver())
        seat.bar().locator(".reimpl-swap").focus()
        seat.page.keyboard.press("Enter")
        wait_for(lambda o=other, b=before: o.driver() != b, what="the swap")


@pytest.mark.slow
def test_when_the_time_is_up_roles_swap_once(shared, pair):
    name = "mlstm/02_shapes.ipynb"
    seats = ada, grace = pair(name)
    ada.run(places(shared, name)["start"])
    before = wait_for(ada.driver)
    wait_for(grace.driver)
    turns = len([e for e in Log(shared.work).read() if e["event"] == "turn"])
    at = 1000 * (time.time() + 3)  # both clocks show the end of the turn at the same moment
    for seat in seats:
        seat.page.evaluate(
            "at => { Date.real = Date.now;"
            " Date.now = () => Date.real() + (Date.real() < at ? 0 : 601e3); }",
            at,
        )
    for seat in seats:
        wait_for(lambda s=seat: s.driver() != before, what="the swap by the clock")
    time.sleep(1)
    for seat in seats:
        seat.page.evaluate("Date.now = Date.real")
    events = [e for e in Log(shared.work).read() if e["event"] == "turn"][turns:]
    assert events[0]["why"] == "clock"
    assert len(events) == len({e["number"] for e in events})


@pytest.mark.slow
def test_the_bar_is_read_in_the_dark_and_without_a_mouse(shared, pair):
    name = "mlstm/03_params.ipynb"
    ada, _ = pair(name)
    ada.run(places(shared, name)["start"])
    colors = "bar => [getComputedStyle(bar).color, getComputedStyle(bar).backgroundColor]"
    wait_for(ada.driver)
    assert contrast(ada.bar().evaluate(colors)) > 7
    ada.theme("JupyterLab Dark")
    assert contrast(ada.bar().evaluate(colors)) > 7
    ada.bar().locator("input").focus()
    ada.page.keyboard.type("dd, a b 3")  # letters that are commands of JupyterLab
    assert ada.bar().locator("input").input_value() == "dd, a b 3"
    ada.page.keyboard.press("Tab")
    assert ada.page.evaluate("document.activeElement.textContent") == "Predict"
    ada.theme("JupyterLab Light")


def contrast(colors):
    """Compute the contrast of two colors, as WCAG does."""

    def luminance(color):
        parts = [int(part) / 255 for part in re.findall(r"\d+", color)[:3]]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    low, high = sorted(map(luminance, colors))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.slow
def test_after_a_reload_everything_is_there(shared, pair):
    name = "mlstm/04_unit_tests.ipynb"
    ada, grace = pair(name)
    place = places(shared, name)["start"]
    ada.run(place)
    ada.has_run(place)
    wait_for(grace.driver)
    grace.page.reload()
    grace.wait()
    wait_for(grace.driver, what="the bar after a reload")
    assert "mlstm, step 4" in grace.output(place)


# --- what may happen ---


@pytest.mark.slow
def test_kill_9_loses_nothing_that_was_saved_while_typing_went_on(lab, sit):
    name = "autoencoder/01_forward_pass.ipynb"
    seats = ada, grace = sit(name)
    at = places(lab, name)
    ada.run(at["start"])
    ada.has_run(at["start"])
    ada.cell(at["layer-code"]).locator(".cm-content").click()
    ada.page.keyboard.press("Control+a")
    typed = 0  # the clock of this test: a slow machine types slowly, too
    while set(seen := text_on_disk(lab, name, at["layer-code"])) != {"x"}:
        assert typed < 100, "typed without a pause, and nothing saved"
        for _ in range(5):
            ada.page.keyboard.type("x")
        typed += 5
    port = lab.port
    lab.kill()
    saved = text_on_disk(lab, name, at["layer-code"])
    assert set(saved) == {"x"} and len(seen) <= len(saved) <= typed
    lab.start(port)
    for seat, link in zip(seats, lab.links, strict=True):
        seat.link = link
        seat.open(name)
    grace.sees_source(at["layer-code"], saved)
    ada.run(at["start"])
    wait_for(grace.driver, what="the bar on the new server")


@pytest.mark.slow
def test_one_person_has_a_lab_without_a_bar(chromium, tmp_path):
    lab = Lab(tmp_path, "--solo").start()
    try:
        assert len(lab.links) == 1
        seat = Seat(chromium, lab.links[0]).open("autoencoder/01_forward_pass.ipynb")
        place = places(lab, "autoencoder/01_forward_pass.ipynb")["start"]
        seat.run(place)
        seat.sees(place, "autoencoder, step 1")
        assert seat.page.locator(".reimpl-bar").count() == 0
        seat.page.keyboard.press("Control+s")
        saved = lab.work / "autoencoder/01_forward_pass.ipynb"
        wait_for(lambda: "step 1. Nothing" in saved.read_text("utf-8"), what="the saved notebook")
        seat.context.close()
    finally:
        lab.kill()


@pytest.mark.slow
@on_linux
def test_a_stop_with_browsers_connected_says_what_is_not_saved(shared, kept, fault):
    name, ada = "gnn/05_training_test.ipynb", kept[0]
    ada.open_here(name)
    path, server = shared.work / name, psutil.Process(shared.process.pid)
    place = places(shared, name)["start"]
    ada.write(place, "print('x' * 200_000)")
    ada.page.keyboard.press("Control+Enter")
    # larger than the lab's log, which is a file that must still be written to
    wait_for(lambda: path.stat().st_size > 200_000, what="a large notebook")
    allow = full_disk(server, path)
    ada.write(place, "typed = 'at the end'")
    ada.is_told(f"{name} is not saved")
    shared.process.terminate()  # the last test that needs it
    wait_for(lambda: "Make room for it, or stop again and lose it." in shared.log.read_text())
    renamed_folder(server, path)
    allow()
    shared.process.terminate()
    assert shared.process.wait(20) == 0
    said = rf"{name} could not be saved: .* What it holds is in (.*)"
    (copy,) = re.findall(said, shared.log.read_text())
    kept_text = nbformat.read(copy, as_version=4).cells[place].source
    fault(files_lost=kept_text != "typed = 'at the end'", events_lost=0)
    shutil.rmtree(Path(copy).parent)
