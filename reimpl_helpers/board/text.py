"""Write the board as text: for a terminal, and as a table for a spreadsheet."""

import csv
import io
import textwrap
from collections.abc import Iterator

from reimpl_helpers.base.tables import aligned
from reimpl_helpers.base.words import plural
from reimpl_helpers.checks.verdict import NOT_WRITTEN, RIGHT, WRONG

WIDTH = 100  # columns of a terminal
LONGEST_LABEL = 16
MANY_MISTAKES = 8  # the commonest; CSV has them all
LEGEND = (
    "How a piece stands, attempts/minutes: x wrong · + right, says the pair's own kernel · "
    "++ right, confirmed in a fresh process · +x judged wrong there · o not written yet · "
    "- nothing yet · > the pair is here."
)
CONFIRMED = {RIGHT: "++", WRONG: "+x", "": "+"}
COLUMNS = (
    "pair", "track", "step", "piece", "claimed", "confirmed", "minutes", "attempts", "mistake",
)  # fmt: skip


# --- for a terminal -----------------------------------------------------------------------


def board_as_text(facts: dict) -> str:
    """Write the board for a terminal: who waits, who is where, which mistakes are commonest."""
    parts = [hands_in(facts), *tables_in(facts), mistakes_in(facts), troubles_in(facts)]
    return "\n\n".join("\n".join(lines) for part in parts if (lines := list(part)))


def hands_in(facts: dict) -> Iterator[str]:
    """List who waits for help, the longest first."""
    waiting = [pair for pair in facts["pairs"] if pair["hand"]]
    yield "Waiting for help:" if waiting else "Nobody waits for help."
    for pair in waiting:
        now = pair["now"]
        at = f"{now['track']} {now['step']:02} {now['piece']}".strip()
        names = f"  ({', '.join(pair['names'])})" if pair["names"] else ""
        waits = plural(round(pair["hand"]["minutes"]), "minute")
        yield cut(
            f"  {cut(pair['label'], LONGEST_LABEL):{LONGEST_LABEL}}  {waits:>11}  {at}{names}"
        )


def tables_in(facts: dict) -> Iterator[Iterator[str]]:
    """Show the pairs at each notebook where somebody is, piece by piece."""
    for track in facts["tracks"]:
        for step in track["steps"]:
            here = track["name"], step["step"]
            pairs = [p for p in facts["pairs"] if p["now"] and notebook_of(p["now"]) == here]
            if pairs:
                yield table(track["name"], step, pairs)
    if any(pair["now"] for pair in facts["pairs"]):
        yield iter(textwrap.wrap(LEGEND, WIDTH))


def notebook_of(now: dict) -> tuple[str, int]:
    return now["track"], now["step"]


def table(track: str, step: dict, pairs: list[dict]) -> Iterator[str]:
    """Show some pairs at one notebook: a row each, a column for each of its pieces."""
    yield f"{track} {step['step']:02} {step['title']}, {step['minutes']} minutes"
    asked = [f"{n} {p['name']} ({p['minutes']})" for n, p in enumerate(step["pieces"], 1)]
    yield from textwrap.wrap(", ".join(asked), WIDTH, initial_indent="  ", subsequent_indent="  ")
    for gap, with_minutes in (("  ", True), (" ", True), (" ", False)):
        rows = [row(track, step, pair, with_minutes) for pair in pairs]
        rows.insert(0, ["pair", *map(str, range(1, len(step["pieces"]) + 1)), "others", "quiet"])
        lines = [f"  {line}" for line in aligned(rows, gap)]
        if max(map(len, lines)) <= WIDTH:
            break
    yield from lines


def row(track: str, step: dict, pair: dict, with_minutes: bool) -> list[str]:
    """Say how a pair fares with each piece of a notebook, and how many others it has right."""
    here = f"{track}/{step['step']}/"
    names = [piece["name"] for piece in step["pieces"]]
    others = [p["claimed"] for key, p in pair["pieces"].items() if not key.startswith(here)]
    cells = [cell(pair, here, name, with_minutes) for name in names]
    label, quiet = cut(pair["label"], LONGEST_LABEL), f"{pair['quiet']:.0f}"
    return [label, *cells, str(others.count(RIGHT)), quiet]


def cell(pair: dict, here: str, name: str, with_minutes: bool) -> str:
    """Say how one piece stands: >x3/12 is wrong after 3 attempts and 12 minutes, and worked on."""
    mark = ">" if pair["now"]["piece"] == name else ""
    piece = pair["pieces"].get(here + name)
    if piece is None:
        return f"{mark}-"
    marks = {RIGHT: CONFIRMED[piece["confirmed"]], WRONG: "x", NOT_WRITTEN: "o"}
    minutes = f"/{piece['minutes']:.0f}" if with_minutes else ""
    return f"{mark}{marks[piece['claimed']]}{piece['attempts']}{minutes}"


def mistakes_in(facts: dict) -> Iterator[str]:
    """List the commonest mistakes, with the question to ask."""
    current = [fact for fact in facts["mistakes"] if fact["now"]]
    if current:
        yield "The commonest mistakes now:"
    for fact in current[:MANY_MISTAKES]:
        pairs = ", ".join(fact["pairs"][: fact["now"]])
        yield cut(f"  {fact['now']:2}  {fact['track']} {fact['piece']}: {fact['mistake']}")
        for text in (f"Ask: {fact['question']}", f"At it: {pairs}"):
            yield from textwrap.wrap(text, WIDTH, initial_indent=" " * 6, subsequent_indent=" " * 8)


def troubles_in(facts: dict) -> Iterator[str]:
    """Name the logs that are not, or not all, read, and those that tell of nothing."""
    for pair in facts["pairs"]:
        said = pair["trouble"] or ("" if pair["now"] else "Its log tells of no notebook yet.")
        if said:
            yield from textwrap.wrap(f"{pair['label']}: {said}", WIDTH, subsequent_indent="  ")


def cut(text: str, most: int = WIDTH) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


# --- for a spreadsheet --------------------------------------------------------------------


def csv_of(facts: dict) -> str:
    """Write a row for each pair and piece, as a table that spreadsheets read."""
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow(COLUMNS)
    for pair in facts["pairs"]:
        for key, piece in pair["pieces"].items():
            counted = [piece[name] for name in COLUMNS[4:]]
            writer.writerow(map(harmless, [pair["label"], *key.split("/"), *counted]))
    return written.getvalue().removesuffix("\n")


def harmless(value):
    """Keep a spreadsheet from taking a text for a formula."""
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return f"'{value}"
    return value
