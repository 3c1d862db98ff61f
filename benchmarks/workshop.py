"""Time a workshop: pairs on one hub who type and check; `make bench-workshop` runs this.

How to read it: docs/benchmarks.md.
"""

# ruff: noqa: E402  the machine that a hub is started on is shared with the tests

import asyncio
import json
import math
import os
import random
import re
import sys
import time
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from pathlib import Path

import psutil
from clients import VIEW, Client
from timing import parser_for

from reimpl_helpers.base.places import NOTEBOOKS, ROOT
from reimpl_helpers.checks.verdict import RIGHT
from reimpl_helpers.tracks.track import Track

sys.path.append(str(ROOT / "tests"))
from hub_machine import Hub, Visitor, hub_machine

NOTEBOOK = "autoencoder/01_forward_pass.ipynb"
SOLVED = NOTEBOOKS / "autoencoder/solved/01_forward_pass.ipynb"
ARRIVAL = 10.0  # seconds in which the whole room comes in
THINK = 4.0  # seconds of looking before a cell is run, on average: a tenth of what people take
STROKE = 0.5  # seconds for one word, on average: twice as fast as people type
HASTE = 20  # in the short form all this goes so many times as fast
STOPS = 120.0  # seconds that all servers together may take to end
SEED = 20260
REMARK = "{name}: why is this so, and what would it be for a single row?"


@dataclass
class Pair:
    """Two people at one notebook, what they typed, and how long they waited."""

    number: int
    haste: float = 1
    start: float = 0.0
    verdicts: list[float] = field(default_factory=list)
    typed: dict[str, str] = field(default_factory=dict)  # by cell
    right: list[str] = field(default_factory=list)

    def __post_init__(self):
        self.name, self.names = f"p{self.number}", (f"Ada {self.number}", f"Grace {self.number}")
        self.luck = random.Random(SEED + self.number)

    async def pause(self, seconds: float) -> None:
        await asyncio.sleep(self.luck.expovariate(self.haste / seconds))

    async def work(self, hub: Hub) -> None:
        """Come in, solve the notebook, and leave it open."""
        await asyncio.sleep(self.luck.uniform(0, ARRIVAL / self.haste))
        began = time.monotonic()
        self.clients = await asyncio.gather(*(self.sit_down(hub, name) for name in self.names))
        first, second = self.clients
        await first.start_kernel()
        await second.start_kernel()
        cells = json.loads(SOLVED.read_text("utf-8"))["cells"]
        codes = [cell for cell in cells if cell["cell_type"] == "code"]
        await first.run(codes[0]["id"])
        await second.until(lambda: VIEW in second.output(codes[0]["id"]))
        self.start = time.monotonic() - began
        self.bar = codes[0]["id"]
        for cell in codes[1:]:
            await self.do(cell)

    async def sit_down(self, hub: Hub, name: str) -> Client:
        """Log in, and open the notebook."""
        visitor = Visitor(hub, name)
        address = await asyncio.to_thread(visitor.enter)
        client = Client(name, address, visitor.cookies)
        await client.open(NOTEBOOK)
        return client

    async def do(self, cell: dict) -> None:
        """Write an exercise, check one, or run what stands there."""
        driver, navigator = self.clients
        await self.pause(THINK)
        if piece := cell["metadata"].get("reimpl", {}).get("exercise"):
            await self.write(cell)
            await driver.run(cell["id"])
            self.piece = piece
        elif "check" in cell["metadata"].get("tags", []):
            await driver.click(self.bar, {"do": "predict", "piece": self.piece, "said": ""})
            await self.pause(THINK)
            pressed = time.monotonic()
            running = asyncio.ensure_future(driver.run(cell["id"]))
            await navigator.until(lambda: f"{self.piece} · " in navigator.output(cell["id"]))
            self.verdicts.append(time.monotonic() - pressed)
            if "· right" not in navigator.output(cell["id"]):
                raise AssertionError(navigator.output(cell["id"]))
            await running
            self.right.append(self.piece)
            self.clients.reverse()  # swap
        else:
            await driver.run(cell["id"])

    async def write(self, cell: dict) -> None:
        """Let the driver write the solution, and the navigator a remark below it."""
        driver, navigator = self.clients
        its_id, wanted = cell["id"], "".join(cell["source"])
        there = driver.source(its_id)
        kept = len(os.path.commonprefix([there, wanted]))
        first, rest = "\n#", f" {REMARK.format(name=navigator.name)}"
        await driver.edit(its_id, kept, len(there), first)  # what they write next to it stays apart
        await navigator.until(lambda: navigator.source(its_id) == there[:kept] + first)
        await asyncio.gather(
            self.type(driver, its_id, kept, wanted[kept:]),
            self.type(navigator, its_id, None, rest),
        )
        self.typed[its_id] = wanted + first + rest

    async def type(self, client: Client, its_id: str, place: int | None, text: str) -> None:
        """Type word by word, from a place on, or at the end."""
        for word in re.findall(r"\s*\S+|\s+$", text):
            at = len(client.source(its_id)) if place is None else place
            await client.edit(its_id, at, at, word)
            place = None if place is None else place + len(word)
            await self.pause(STROKE)

    # --- afterwards ---

    def lost(self, work: Path) -> int:
        """Count the letters typed and the passed checks that are not on the disk."""
        cells = json.loads((work / NOTEBOOK).read_text("utf-8"))["cells"]
        kept = {cell["id"]: "".join(cell["source"]) for cell in cells}
        letters = sum(missing(text, kept.get(its_id, "")) for its_id, text in self.typed.items())
        events = map(json.loads, (work / "log.jsonl").read_text("utf-8").splitlines())
        logged = {e["piece"] for e in events if e["event"] == "check" and e["state"] == RIGHT}
        model = (work / "autoencoder/model.py").read_text("utf-8")
        saved = {piece for piece in self.right if f"def {piece}(" in model}
        in_model = {p.name for p in Track("autoencoder").pieces if p.module == "model"}
        right = set(self.right)
        return letters + len(right - logged) + len(right & in_model - saved)


def missing(text: str, kept: str) -> int:
    """Count the letters of a text that are not kept."""
    blocks = SequenceMatcher(None, text, kept, autojunk=False).get_matching_blocks()
    return len(text) - sum(block.size for block in blocks)


@dataclass
class Cost:
    """What the hub's processes, and the clients here, took."""

    memory: int  # bytes, what is shared counted once
    seconds: dict[str, float]  # of a core, by kind of process


def kind_of(process: psutil.Process) -> str:
    command = " ".join(process.cmdline())
    kinds = {"reimpl_helpers.lab.kernel": "kernels", "hub.server": "servers", "http-proxy": "proxy"}
    return next((kind for part, kind in kinds.items() if part in command), "hub")


def cost_of(hub: Hub) -> Cost:
    """Add up what all processes of a hub take."""
    root = psutil.Process(hub.process.pid)
    memory, seconds = 0, {"clients": sum(psutil.Process().cpu_times()[:2])}
    for process in [root, *root.children(recursive=True)]:
        kind = kind_of(process)
        memory += process.memory_full_info().pss
        seconds[kind] = seconds.get(kind, 0.0) + sum(process.cpu_times()[:4])
    return Cost(memory, seconds)


def roster_of(pairs: list[Pair]) -> str:
    lines = [f"{name},{pair.name}" for pair in pairs for name in pair.names]
    return "\n".join(["name,pair", *lines, "Facilitator,facilitator"])


async def workshop(hub: Hub, count: int, haste: float) -> None:
    """Let pairs work on a hub, and print what they waited for."""
    pairs = [Pair(number, haste) for number in range(1, count + 1)]
    hub.start(roster_of(pairs))
    before = sum(psutil.Process().cpu_times()[:2])
    began = time.monotonic()
    await asyncio.gather(*(pair.work(hub) for pair in pairs))
    cost, took = cost_of(hub), time.monotonic() - began
    cost.seconds["clients"] -= before
    for client in (client for pair in pairs for client in pair.clients):
        client.close()
    await asyncio.to_thread(hub.stop, STOPS)
    lost = sum(pair.lost(hub.work(pair.name)) for pair in pairs)
    print(line_of(pairs, cost, lost), flush=True)
    shares = ", ".join(f"{kind} {spent:.0f}" for kind, spent in sorted(cost.seconds.items()))
    print(f"  in {took:.0f} s on {os.cpu_count()} cores, seconds of a core: {shares}", flush=True)


def line_of(pairs: list[Pair], cost: Cost, lost: int) -> str:
    verdicts = [seconds for pair in pairs for seconds in pair.verdicts]
    return (
        f"WORKSHOP pairs={len(pairs)} verdict_p50={quantile(verdicts, 50):.2f}s "
        f"verdict_p95={quantile(verdicts, 95):.2f}s "
        f"start_p95={quantile([pair.start for pair in pairs], 95):.1f}s "
        f"memory={cost.memory / 2**20:.0f}MB lost={lost}"
    )


def quantile(values: list[float], percent: int) -> float:
    """Return the value that this share of all are at or below."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def main():
    parser = parser_for(__doc__)
    parser.add_argument("counts", type=int, nargs="*", help="of pairs, in turn")
    asked = parser.parse_args()
    for count in asked.counts or ([1] if asked.short else [1, 20]):
        with hub_machine() as hub:
            asyncio.run(workshop(hub, count, HASTE if asked.short else 1))


if __name__ == "__main__":
    main()
