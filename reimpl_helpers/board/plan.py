"""Make the timetable of a workshop from the minutes in the notebooks, and hold it against logs.

A notebook says how many minutes each of its headings takes, and each exercise under it. What a
heading takes beyond its exercises is reading, and is planned before the first of them.
"""

import re
import textwrap
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from statistics import median

from reimpl_helpers.base.errors import WorkbookError
from reimpl_helpers.base.words import plural
from reimpl_helpers.board.logs import PairLog
from reimpl_helpers.checks.verdict import NOT_WRITTEN, RIGHT
from reimpl_helpers.pair.minutes import stretches
from reimpl_helpers.pair.pairing import TURN
from reimpl_helpers.tracks.notebooks import Exercise, Heading, Notebook, outlines_of

# Minutes, all of them; a time of the day is counted from midnight.
DAY = 24 * 60
MORNING = 9 * 60  # when a day begins, if nobody says
WELCOME, CLOSING = 15, 10
SITTING = 90  # at most, from one break to the next
BREAK, LUNCH = 10, 60
LUNCHTIME = range(11 * 60 + 30, 13 * 60 + 16)  # when lunch may begin
LUNCHLESS = 11 * 60, 13 * 60 + 30  # who begins later than the first, or ends by the second
IN_THE_MIDDLE = 20  # a break inside a notebook weighs as much as sittings so far from equal
LOOK = 1  # for an exercise that is left out: its cells are run all the same
CLOCK = round(TURN.total_seconds() / 60)  # when the bar asks to swap, if no check did
NEAR = 3  # but what ends so soon is ended first
WIDTH = 88  # columns of what is printed


# --- the timetable ------------------------------------------------------------------------


@dataclass(frozen=True)
class Line:
    """One line of a timetable, before it has its time."""

    minutes: int
    text: str
    is_solved: bool = False  # it ends on a check, and so on a swap


@dataclass(frozen=True)
class Block:
    """Lines that no break comes between: a heading, the welcome, the closing."""

    lines: tuple[Line, ...]
    step: int = 0  # 0: of no notebook

    @property
    def minutes(self) -> int:
        return sum(line.minutes for line in self.lines)


@dataclass(frozen=True)
class Slot:
    """One line of a timetable, with its time, and the times at which the two swap in it."""

    start: int
    minutes: int
    text: str
    step: int = 0
    swaps: tuple[int, ...] = ()
    is_break: bool = False

    @property
    def end(self) -> int:
        return self.start + self.minutes


def block_of(heading: Heading, left_out: frozenset[Exercise]) -> Block:
    """Plan a heading: a line per exercise, or one where there is none."""
    reading = heading.minutes - sum(exercise.minutes for exercise in heading.exercises)
    if not heading.exercises:
        return Block((Line(reading, heading.title),), heading.step)
    lines, title = [], heading.title
    for exercise in heading.exercises:
        is_out = exercise in left_out
        minutes = reading + (LOOK if is_out else exercise.minutes)
        text = f"{title}: {exercise.name}{' (left out)' if is_out else ''}"
        lines.append(Line(minutes, text, is_solved=not is_out))
        reading, title = 0, f"{'':5}and"
    return Block(tuple(lines), heading.step)


def blocks_of(notebooks: list[Notebook], left_out: frozenset[Exercise]) -> list[Block]:
    """Plan some notebooks, with a welcome before and a closing talk after."""
    welcome = "Welcome: pairs sit down, open the lab, and read 00_start_here together"
    if notebooks[0].step > 1:
        welcome = "Welcome back: pairs open the lab, and say what they hold so far"
    closing = "Closing: each pair says what it holds now, and what surprised it"
    return [
        Block((Line(WELCOME, welcome),)),
        *(block_of(heading, left_out) for notebook in notebooks for heading in notebook.headings),
        Block((Line(CLOSING, closing),)),
    ]


def sittings_of(blocks: list[Block]) -> tuple[int, int, list[list[Block]]]:
    """Split a part of the day into sittings of at most SITTING minutes.

    There are as few as possible, about equally long, and end with a notebook where one ends near.

    Returns how many there are, what speaks against them, and the sittings themselves.
    """
    best = {len(blocks): (0, 0, [])}
    for first in reversed(range(len(blocks))):
        choices, minutes = [], 0
        for end in range(first + 1, len(blocks) + 1):
            minutes += blocks[end - 1].minutes
            if minutes > SITTING:
                break
            number, against, rest = best[end]
            splits = end < len(blocks) and blocks[end].step in (0, blocks[end - 1].step)
            against += minutes**2 + (2 * IN_THE_MIDDLE**2 if splits else 0)
            choices.append((number + 1, against, [blocks[first:end], *rest]))
        best[first] = min(choices, key=lambda choice: choice[:2])
    return best[0]


def lay_out(blocks: list[Block], start: int) -> list[Slot]:
    """Give every line its time, with a break after each sitting and lunch where the day has one."""
    slots = timed(sittings_of(blocks)[2], start)
    latest_start, earliest_end = LUNCHLESS
    if start > latest_start or slots[-1].end <= earliest_end:
        return slots
    choices = []
    for split in range(1, len(blocks)):
        before, after = sittings_of(blocks[:split]), sittings_of(blocks[split:])
        morning = timed(before[2], start)
        if (now := morning[-1].end) in LUNCHTIME:
            splits = blocks[split].step in (0, blocks[split - 1].step)
            against = before[1] + after[1] + (2 * IN_THE_MIDDLE**2 if splits else 0)
            lunch = Slot(now, LUNCH, "Lunch", is_break=True)
            choices.append((before[0] + after[0], against, [*morning, lunch], after[2]))
    *_, morning, after = min(choices, key=lambda choice: choice[:2])
    return [*morning, *timed(after, morning[-1].end)]


def timed(sittings: list[list[Block]], start: int) -> list[Slot]:
    """Give the lines of some sittings their times, breaks between them, and find the swaps.

    A pair swaps when a check says right, and by the clock when none did for a whole turn. The
    clock starts anew with each notebook and after each break, as in the bar of the two roles.
    """
    slots = []
    for number, sitting in enumerate(sittings):
        if number:
            slots.append(Slot(start, BREAK, "Break", is_break=True))
            start += BREAK
        step, turn = 0, start
        for block in sitting:
            turn, step = (turn if block.step == step else start), block.step
            for line in block.lines:
                swaps, end = [], start + line.minutes
                while step and turn + CLOCK <= end - NEAR:
                    swaps.append(turn := max(start, turn + CLOCK))
                if line.is_solved:
                    swaps.append(turn := end)
                slots.append(Slot(start, line.minutes, line.text, step, tuple(swaps)))
                start = end
    return slots


# --- what to leave out --------------------------------------------------------------------


@dataclass(frozen=True)
class Plan:
    """The timetable of one day, and what found no room in it."""

    track: str
    slots: list[Slot]
    notebooks: list[Notebook]
    left_out: frozenset[Exercise] = frozenset()
    at_home: list[Notebook] = field(default_factory=list)
    until: int | None = None

    def __str__(self):
        return "\n".join(lines_of(self))


def plan_day(name: str, start: int | None, until: int | None, first: int = 1) -> Plan:
    """Fit as many notebooks of a track into a day as it holds, from the `first` one on.

    Short of time, the last notebooks go home with the pairs, and of the others exercises are left
    out: see `order_of_leaving_out`. Without `until` the day is as long as everything takes.

    Units: start and until in minutes from midnight.

    Raises: WorkbookError for an unknown track, or when the day is too short for one notebook.
    """
    start = MORNING if start is None else start
    if until is not None and until <= start:
        raise WorkbookError(
            f"{clock(until)} is not after {clock(start)}. Give both times of one day, such as "
            "--start 09:30 --until 12:30. A workshop past midnight is two: plan each."
        )
    notebooks = [notebook for notebook in outlines_of(name) if notebook.step >= first]
    latest = DAY - 1 if until is None else until
    if until is None and lay_out(blocks_of(notebooks, frozenset()), start)[-1].end > latest:
        raise WorkbookError(
            f"from {clock(start)} on, all of {name} would go past midnight. Begin earlier, or say "
            "when the day ends, with --until."
        )
    for count in range(len(notebooks), 0, -1):
        kept = notebooks[:count]
        left_out = what_to_leave_out(kept, start, latest)
        if left_out is not None:
            slots = lay_out(blocks_of(kept, left_out), start)
            return Plan(name, slots, kept, left_out, notebooks[count:], until)
    raise too_short(name, notebooks[0], start, latest)


def too_short(name: str, notebook: Notebook, start: int, until: int) -> WorkbookError:
    """Say how long a day must be for one notebook."""
    out = frozenset(order_of_leaving_out([notebook]))
    end = lay_out(blocks_of([notebook], out), start)[-1].end
    longer = f"Go on until {clock(end)}, or begin" if end < DAY else "Begin"
    return WorkbookError(
        f"{spell(until - start)} hold no notebook of {name}: with a welcome and a closing talk, "
        f"{notebook} takes {spell(end - start)}. {longer} earlier."
    )


def order_of_leaving_out(notebooks: list[Notebook]) -> list[Exercise]:
    """Order what may be left out, the least missed first.

    Nothing of notebook 01 is left out, as all the others build on it; elsewhere, only what no
    exercise after it needs, and at most half of a notebook's tests and half of its other exercises.
    Tests come first: no later notebook asks for them. Of each kind, it is the turn of the notebook
    that has most of that kind left, and of its last one: pairs are then practised.
    """
    order = []
    for is_test in (True, False):
        asked = {n.step: [e for e in n.exercises if e.is_test == is_test] for n in notebooks}
        asked = {step: exercises for step, exercises in asked.items() if step > 1}
        left = {step: len(exercises) for step, exercises in asked.items()}
        free = {step: [e for e in exercises if e.is_free] for step, exercises in asked.items()}
        while steps := [s for s in asked if free[s] and left[s] - 1 >= len(asked[s]) / 2]:
            step = max(steps, key=lambda step: (left[step], step))
            order.append(free[step].pop())
            left[step] -= 1
    return order


def what_to_leave_out(notebooks, start: int, until: int) -> frozenset[Exercise] | None:
    """Find the exercises to leave out so that notebooks fit; None where they fit in no way."""

    def fits(left_out):
        return lay_out(blocks_of(notebooks, frozenset(left_out)), start)[-1].end <= until

    order = order_of_leaving_out(notebooks)
    count = next((n for n in range(len(order) + 1) if fits(order[:n])), None)
    if count is None:
        return None
    left_out = set(order[:count])
    for exercise in reversed(order[:count]):  # what made room in vain comes back
        if fits(left_out - {exercise}):
            left_out.remove(exercise)
    return frozenset(left_out)


# --- in words -----------------------------------------------------------------------------


def minute_of(text: str) -> int:
    """Read a time of the day, such as 09:30.

    Raises: WorkbookError for what is none.
    """
    found = re.fullmatch(r"([01]?[0-9]|2[0-3]):([0-5][0-9])", text)
    if not found:
        raise WorkbookError(
            f"`{text}` is no time of the day. Write hours and minutes, from 00:00 to 23:59, such "
            "as 09:30."
        )
    return int(found[1]) * 60 + int(found[2])


def clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"


def spell(minutes: int) -> str:
    """Say how long: 45 minutes, 3 h, 1 h 05 min."""
    hours, rest = divmod(minutes, 60)
    if not hours:
        return plural(rest, "minute")
    return f"{hours} h {rest:02} min" if rest else f"{hours} h"


def lines_of(plan: Plan) -> Iterator[str]:
    """Word a timetable."""
    titles = {notebook.step: str(notebook) for notebook in plan.notebooks}
    swaps = [" ".join(map(clock, slot.swaps)) for slot in plan.slots]
    width, end, step = max(map(len, swaps)), plan.slots[-1].end, 0
    yield f"{plan.track}, {clock(plan.slots[0].start)} to {clock(end)}"
    yield ""
    yield " time   min  swap at"
    for slot, swap in zip(plan.slots, swaps, strict=True):
        if slot.is_break or slot.step != step:
            yield ""
        if slot.step not in (0, step):
            yield f"{'':{width + 15}}{titles[slot.step]}"
        step = step if slot.is_break else slot.step
        line = f"{clock(slot.start)}  {slot.minutes:4}  {swap:{width}}  {slot.text}"
        yield from textwrap.wrap(line, WIDTH, subsequent_indent=" " * (width + 20))
    yield f"{clock(end)}  {'':{width + 8}}The end"
    yield ""
    for remark in remarks_on(plan, end):
        yield from textwrap.wrap(remark, WIDTH, subsequent_indent="  ")


def remarks_on(plan: Plan, end: int) -> Iterator[str]:
    """Say what is left out and how, what goes home, and what time is over."""
    if plan.left_out:
        yield (
            "Left out, as time is short. Pairs run these cells as they stand and go on; where a "
            "piece is needed later, the workbook's stands in:"
        )
        for notebook in plan.notebooks:
            if names := [e.name for e in notebook.exercises if e in plan.left_out]:
                yield f"  {notebook}: {', '.join(names)}"
    if plan.at_home:
        yield (
            "For home, or for another day, which "
            f"`reimpl plan {plan.track} --from {plan.at_home[0].step}` plans:"
        )
        yield from (f"  {notebook}, {spell(notebook.minutes)}" for notebook in plan.at_home)
    if plan.until and plan.until > end:
        yield (
            f"Left over until {clock(plan.until)}: {spell(plan.until - end)}, for questions and "
            "for pairs that take longer."
        )
    elif not (plan.left_out or plan.at_home):
        yield "Nothing is left out."


# --- beside what it took ------------------------------------------------------------------


@dataclass(frozen=True)
class Measured:
    """What an exercise was planned to take, and what it took each pair that got it right.

    Units: minutes, from the exercise before it, or the start of the notebook, to a right check.
    """

    exercise: Exercise
    planned: int
    took: list[float]
    not_right: int  # pairs that opened the notebook, and have not got it right

    @property
    def is_off(self) -> bool:
        """Tell whether the notebook's minutes should be corrected."""
        if len(self.took) < ENOUGH:
            return False
        return abs(median(self.took) - self.planned) >= max(TELLING, self.planned / 4)

    def __str__(self):
        took, spread = "-", "-"
        if self.took:
            took, spread = f"{median(self.took):.0f}", f"{min(self.took):.0f}-{max(self.took):.0f}"
        counts = f"{len(self.took):5}  {self.not_right:3}"
        return f"{self.planned:7}  {took:>6}  {spread:>6}  {counts}  {self.exercise.name}"


def compare(name: str, logs: dict[str, PairLog]) -> str:
    """Set the planned minutes of a track beside those that pairs took, and name what to correct.

    Raises: WorkbookError for an unknown track, or when no log tells of it.
    """
    notebooks = outlines_of(name)
    pairs = [pair for kept in logs.values() if (pair := minutes_of(kept.events, name))[0]]
    if not pairs:
        raise WorkbookError(
            f"no pair of these {plural(len(logs), 'log')} opened a notebook of {name}. Name the "
            "track that they worked on."
        )
    lines = [f"{name}, {plural(len(pairs), 'pair')}", "", HEAD]
    rows = []
    for notebook in notebooks:
        found = [measured(exercise, planned, pairs) for exercise, planned in planned_in(notebook)]
        rows += found
        lines += ["", f"{'':39}{notebook}", *map(str, found)]
    remarks = [textwrap.fill(text, WIDTH, subsequent_indent="  ") for text in verdict_on(rows)]
    return "\n".join([*lines, "", MEANT, "", *remarks])


HEAD = "planned  median  spread  right  not"
MEANT = """Minutes from the exercise before it, or from the start of the notebook, to a right
check; both columns count what is read in between. Median and spread, the fastest to the
slowest, are of the pairs that got it right; "not" are those that opened the notebook and
have not."""
ENOUGH = 3  # pairs, to correct a number by
TELLING = 2  # minutes that a median must be off, at least; and a quarter of what is planned


def measured(exercise: Exercise, planned: int, pairs) -> Measured:
    """Gather what one exercise took the pairs."""
    key = exercise.step, exercise.name
    took = [took[key] for _, took in pairs if key in took]
    opened = sum(exercise.step in opened or key in took for opened, took in pairs)
    return Measured(exercise, planned, took, opened - len(took))


def planned_in(notebook: Notebook) -> Iterator[tuple[Exercise, int]]:
    """Say what each exercise of a notebook is planned to take, with all that is read before it."""
    waiting = 0
    for heading in notebook.headings:
        waiting += heading.minutes - sum(exercise.minutes for exercise in heading.exercises)
        for exercise in heading.exercises:
            yield exercise, waiting + exercise.minutes
            waiting = 0


def minutes_of(events: list[dict], name: str) -> tuple[set, dict]:
    """Find out which notebooks of a track a pair opened, and what its right pieces took.

    What goes to no piece, as reading does, is counted with the piece that is worked on next.

    Units: minutes.
    """
    opened, waiting, spent, took = set(), defaultdict(float), defaultdict(float), {}
    for event, stretch in zip(events, stretches(events), strict=True):
        waiting[stretch.track, stretch.step] += stretch.minutes
        if event.get("track") != name:
            continue
        here, piece = (name, event["step"]), (event["step"], event.get("piece"))
        opened.add(event["step"])
        is_work = "piece" in event and event.get("state") != NOT_WRITTEN
        if is_work and piece not in took:
            spent[piece] += waiting.pop(here, 0)
            if event.get("state") == RIGHT:
                took[piece] = spent[piece]
    return opened, took


def verdict_on(rows: list[Measured]) -> Iterator[str]:
    """Say in words which minutes to correct in the notebooks."""
    if off := [row for row in rows if row.is_off]:
        each = [
            f"{row.exercise.name} in {row.exercise.step:02} ({row.planned} planned, "
            f"{median(row.took):.0f} measured)"
            for row in off
        ]
        yield f"Correct the minutes of {', '.join(each)}."
    elif any(len(row.took) >= ENOUGH for row in rows):
        yield "The minutes in the notebooks hold."
    if few := [row for row in rows if 0 < len(row.took) < ENOUGH]:
        yield (
            f"Fewer than {ENOUGH} pairs got {', '.join(row.exercise.name for row in few)} right: "
            "too few to correct anything by."
        )
    if slow := [row for row in rows if row.not_right > len(row.took)]:
        yield (
            f"Most that opened the notebook have not got {', '.join(r.exercise.name for r in slow)}"
            " right: more minutes are needed there than the median says, or a better hint."
        )
