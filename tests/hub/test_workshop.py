"""A workshop from the roster to the board: two pairs, one facilitator, and what goes wrong.

Pictures of it are in screenshots/ afterwards, whether it went well or not.
"""

import os
import pwd
import re
import shutil
from datetime import UTC, datetime
from importlib.util import find_spec

import nbformat
import psutil
import pytest
from browser import SHOTS, SHOWN, Seat, needs_chromium, wait_for

if os.name == "nt" or find_spec("jupyterhub") is None:
    pytest.skip("`make hub` installs JupyterHub, on Linux and macOS", allow_module_level=True)
from hub_machine import IS_ROOT, hub_machine

from reimpl_helpers import cli
from reimpl_helpers.authoring.solved import solved
from reimpl_helpers.base.places import NOTEBOOKS
from reimpl_helpers.board.confirm import confirmed_in
from reimpl_helpers.board.facts import facts_of
from reimpl_helpers.board.logs import logs_in
from reimpl_helpers.hub.roles import account_of
from reimpl_helpers.tracks.notebooks import exercise_of

pytestmark = [
    pytest.mark.slow,
    needs_chromium,
    pytest.mark.skipif(not IS_ROOT, reason="only root makes users"),
]
NAME = "autoencoder/01_forward_pass.ipynb"
PAIRS = {"oak": ("Ada", "Grace"), "ash": ("Rosa", "Emmy")}
ROSTER = "\n".join(
    ["name,pair", *(f"{name},{pair}" for pair, names in PAIRS.items() for name in names)]
    + ["Mary,facilitator"]
)
CELLS = nbformat.read(NOTEBOOKS / NAME, as_version=4).cells
ANSWERS = {cell.id: cell.source for cell in solved(NOTEBOOKS / NAME).cells}
CODE = [place for place, cell in enumerate(CELLS) if cell.cell_type == "code"]
EXERCISES = {piece: place for place in CODE if (piece := exercise_of(CELLS[place]))}
CHECKS = {piece: CODE[CODE.index(place) + 1] for piece, place in EXERCISES.items()}


class Guest(Seat):
    """Somebody at a browser who has a card with a name and a code."""

    def __init__(self, browser, hub, name):
        super().__init__(browser, "")
        self.name = name
        self.page.goto(hub.address)
        self.page.get_by_label("Your name").fill(name)
        self.page.get_by_label("The code on your card").fill(hub.codes[name])
        self.page.keyboard.press("Enter")

    def is_led_to(self, path):
        self.page.wait_for_url(path, timeout=120_000)
        self.link = self.page.url
        return self

    def picture(self, what):
        SHOTS.mkdir(exist_ok=True)
        self.page.screenshot(path=SHOTS / f"workshop-{what}.png")


@pytest.fixture(scope="module")
def hub():
    with hub_machine() as hub:
        yield hub.start(ROSTER)


@pytest.fixture
def come_in(chromium, hub):
    """Let people come in, each in a browser of their own."""
    guests = []

    def people(*names):
        guests.extend(found := [Guest(chromium, hub, name) for name in names])
        return [guest.is_led_to("**/lab/workspaces/**") for guest in found]

    yield people
    for guest in guests:
        guest.picture(guest.name)
        guest.context.close()


def open_first_notebook(*guests):
    """Go from the start page to the first notebook by a click."""
    for guest in guests:
        guest.wait()
        guest.page.locator("a", has_text="45 min").first.click()
        guest.page.wait_for_selector(f"{SHOWN} h1:has-text('The forward pass')")
        guest.wait()


def go_to(driver, place):
    """Run what stands before a place and has not run yet."""
    for before in CODE:
        if before < place and not re.search(r"\d", prompt(driver, before)):
            driver.run(before)
            driver.has_run(before)


def prompt(seat, place):
    return seat.cell(place).locator(".jp-InputPrompt").inner_text()


def try_piece(piece, driver, navigator=None, change=lambda source: source):
    """Write a piece, run it, predict, and check; alone, nobody predicts."""
    place, check = EXERCISES[piece], CHECKS[piece]
    go_to(driver, place)
    driver.write(place, change(ANSWERS[CELLS[place].id]))
    driver.page.keyboard.press("Control+Enter")
    driver.has_run(place)
    if navigator:
        navigator.bar().locator("input").fill("5, 8")
        navigator.page.keyboard.press("Enter")
        wait_for(lambda: "said 5, 8" in driver.bar().inner_text(), what="the prediction")
    else:
        wait_for(lambda: driver.bar().get_by_role("button", name="Pass").count(), what="Pass")
        driver.bar().get_by_role("button", name="Pass").click()
        wait_for(lambda: "Predict" not in driver.bar().inner_text(), what="the pass")
    driver.run(check)
    return check


def kernels_of(pair):
    user = pwd.getpwnam(account_of(pair)).pw_uid
    found = psutil.process_iter(["uids", "cmdline"])
    return [
        each for each in found
        if each.info["uids"].real == user
        and "reimpl_helpers.lab.kernel" in (each.info["cmdline"] or [])
    ]  # fmt: skip


def test_a_workshop_is_played_through(hub, come_in, chromium):
    mary = Guest(chromium, hub, "Mary").is_led_to("**/services/board/")
    board = mary.page
    board.get_by_text("No pair yet").wait_for()
    ada, grace, rosa = come_in("Ada", "Grace", "Rosa")
    open_first_notebook(ada, grace, rosa)

    # a pair gets on
    check = try_piece("numpy_counterparts", ada, grace)
    for seat in (ada, grace):
        seat.sees(check, "✓ numpy_counterparts")
    row = board.get_by_role("row", name=re.compile("oak"))
    row.get_by_text("1 of 5").wait_for()
    grace.picture("a pair gets on")

    # it is stuck, and raises a hand
    check = try_piece("nn_layer", grace, ada, lambda source: source.replace(" + bias", ""))
    ada.sees(check, "Is the bias added?")
    grace.bar().get_by_role("button", name="Raise hand").click()
    hand = board.locator("#hands").get_by_text("oak")
    hand.wait_for()
    board.locator("#mistakes").get_by_text("Is the bias added?").wait_for()
    mary.picture("the board, with a hand up")

    # the facilitator goes there, they find it, and what they claim is confirmed
    with board.expect_popup() as opened:
        row.get_by_role("link").click()
    there = opened.value
    there.wait_for_url("**/user/pair-oak/lab/workspaces/mary-3/**", timeout=120_000)
    there.wait_for_selector(f"{SHOWN} h1")
    there.screenshot(path=SHOTS / "workshop-the facilitator comes to a pair.png")
    there.close()
    grace.write(EXERCISES["nn_layer"], ANSWERS[CELLS[EXERCISES["nn_layer"]].id])
    grace.page.keyboard.press("Control+Enter")
    grace.run(check)
    ada.sees(check, "✓ nn_layer")
    board.get_by_text("No hand is up.").wait_for()
    row.get_by_text("2 of 5").wait_for()
    row.get_by_text("✓✓").wait_for(timeout=120_000)

    # somebody is alone, loses a kernel, and goes on; the other one is late
    rosa.sees(try_piece("numpy_counterparts", rosa), "✓ numpy_counterparts")
    for kernel in kernels_of("ash"):
        kernel.kill()
    restarting = rosa.page.locator(".jp-Dialog", has_text="Kernel Restarting")
    restarting.first.wait_for()
    rosa.picture("a kernel was killed")
    ok = restarting.get_by_role("button", name="Ok").first  # one for each notebook that was open
    rosa.dismiss(ok)
    (emmy,) = come_in("Emmy")
    emmy.open(NAME)
    for place in [place for place in CODE if place <= EXERCISES["numpy_counterparts"]]:
        rosa.run(place)
        rosa.has_run(place)
    wait_for(lambda: "Emmy drives" in emmy.driver(), what="the bar, at the late one's")
    emmy.sees(try_piece("nn_layer", emmy, rosa), "✓ nn_layer")
    emmy.picture("the late one drives")
    row = board.get_by_role("row", name=re.compile("ash"))
    row.get_by_text("2 of 5").wait_for()
    row.get_by_text("✓✓").wait_for(timeout=120_000)
    mary.picture("the board at the end")
    board.emulate_media(color_scheme="dark")
    board.get_by_role("button", name="Hide names").click()
    board.get_by_text("pair 1").first.wait_for()
    mary.picture("the board for a projector")
    mary.context.close()
    assert {pair: len(events_of(hub, pair, "right")) for pair in PAIRS} == dict.fromkeys(PAIRS, 2)


def events_of(hub, pair, state):
    return [e for e in logs_in(hub.work(pair))[named(hub, pair)].events if e.get("state") == state]


def named(hub, pair):
    (label,) = logs_in(hub.work(pair))
    return label


def test_the_same_from_laptops_whose_work_was_copied_into_one_folder(hub, tmp_path, capsys):
    for pair in PAIRS:
        shutil.copytree(hub.work(pair), tmp_path / pair)
    now = datetime.now(UTC)
    there = facts_of(logs_in(hub.state / "logs"), {}, now)
    assert facts_of(logs_in(tmp_path), {}, now) == there and len(there["pairs"]) == len(PAIRS)
    assert cli.main(["board", str(tmp_path), "--confirm"]) == 0
    told = confirmed_in(tmp_path)
    on_the_hub = confirmed_in(hub.state / "logs")
    assert told == on_the_hub and told.keys() == PAIRS.keys()
    assert cli.main(["board", str(tmp_path), "--text"]) == 0
    assert capsys.readouterr().out.count("++") >= 2
