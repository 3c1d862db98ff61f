"""Draw what a day was like: minutes, predictions, scores; the words to each are its `alt`."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from reimpl_helpers.base.errors import WorkbookError
from reimpl_helpers.base.files import add_file
from reimpl_helpers.board.facts import natural_sort_key
from reimpl_helpers.checks.verdict import RIGHT
from reimpl_helpers.export.project import png_of
from reimpl_helpers.pictures import INK, MUTED, ORIGINAL, OURS, WIDTH, Picture, styled

MOST_ROWS = 25  # of one picture; what is more is on the next


def write_charts(facts: dict, folder: Path) -> list[Path]:
    """Draw the day into a folder, and overwrite nothing there; return what was written.

    Raises: WorkbookError when a picture is there already, or the folder cannot be written.
    """
    pictures = {folder / f"{name}.png": picture for name, picture in charts_of(facts)}
    if there := [path.name for path in pictures if path.exists()]:
        raise WorkbookError(
            f"{folder} has {', '.join(there)} already, and nothing is overwritten. Name a new "
            "folder, or take these away."
        )
    if not pictures:
        raise WorkbookError(
            "there is nothing to draw: no log tells of a right piece, a prediction or a score yet. "
            "Run this at the end of the day."
        )
    try:
        for path, picture in pictures.items():
            with warnings.catch_warnings(action="ignore"):  # a name in letters that no font has
                add_file(path, png_of(picture))
    except OSError as error:
        raise WorkbookError(
            f"{folder} cannot be written ({error.strerror}). Name another folder."
        ) from error
    return list(pictures)


def charts_of(facts: dict) -> Iterator[tuple[str, Picture]]:
    """Draw the minutes of each notebook, the predictions, and the scores of each track."""
    for track in facts["tracks"]:
        for step in track["steps"]:
            if rows := minutes_in(facts, track["name"], step):
                yield (
                    f"minutes-{track['name']}-{step['step']:02}",
                    minutes_chart(rows, f"{track['name']} {step['step']:02} {step['title']}"),
                )
    pairs = sorted(facts["pairs"], key=lambda pair: natural_sort_key(pair["label"]))
    said = [(p["label"], p["predictions"]["came_true"], p["predictions"]["said"]) for p in pairs]
    yield from pages("predictions", said, "predictions that came true")
    for track in facts["tracks"]:
        scores = [(p["label"], last_score(p, track["name"])) for p in pairs]
        found = [(label, score["caught"], score["mistakes"]) for label, score in scores if score]
        yield from pages(
            f"scores-{track['name']}", found, f"{track['name']}: mistakes that their tests catch"
        )


def last_score(pair: dict, track: str) -> dict | None:
    """Find the score of a pair's tests at the last notebook where it asked for one."""
    scores = {key: score for key, score in pair["scores"].items() if key.startswith(f"{track}/")}
    return scores[max(scores)] if scores else None


# --- minutes ------------------------------------------------------------------------------


def minutes_in(facts: dict, track: str, step: dict) -> list[tuple[str, int, list[float]]]:
    """List the pieces of a notebook that somebody got right: name, plan, minutes of each pair."""
    rows = []
    for piece in step["pieces"]:
        key = f"{track}/{step['step']}/{piece['name']}"
        told = [pair["pieces"][key] for pair in facts["pairs"] if key in pair["pieces"]]
        took = [each["minutes"] for each in told if each["claimed"] == RIGHT]
        if took:
            rows.append((piece["name"], piece["minutes"], took))
    return rows


@styled
def minutes_chart(rows: list[tuple[str, int, list[float]]], title: str) -> Picture:
    """Show what each piece took: a dot for each pair, their median, and what was planned."""
    picture, axes = sheet(len(rows), [name for name, *_ in rows], f"{title}: minutes a piece")
    for row, (_, planned, took) in enumerate(rows):
        axes.scatter(took, [row] * len(took), s=36, color=OURS, alpha=0.45, linewidths=0, zorder=2)
        axes.scatter(median(took), row, s=64, marker="D", facecolors="none", edgecolors=INK)
        axes.scatter(planned, row, s=260, marker="|", color=ORIGINAL, linewidths=2.5, zorder=1)
    axes.set_xlim(left=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("minutes, pairs that got it right")
    handles = [
        axes.scatter([], [], s=36, color=OURS, alpha=0.45, linewidths=0),
        axes.scatter([], [], s=64, marker="D", facecolors="none", edgecolors=INK),
        axes.scatter([], [], s=260, marker="|", color=ORIGINAL, linewidths=2.5),
    ]
    legend = "a pair", "median", "planned"
    picture.legend(handles, legend, loc="outside lower right", ncols=3, frameon=False)
    said = [
        f"{name} {median(took):.0f} (planned {planned}, {len(took)} right)"
        for name, planned, took in rows
    ]
    picture.alt = f"{title}, minutes in the median: {', '.join(said)}."
    return picture


# --- shares -------------------------------------------------------------------------------


def pages(name: str, rows: list[tuple[str, int, int]], what: str) -> Iterator[tuple[str, Picture]]:
    """Draw a part of a whole for each pair, on as many pictures as it takes."""
    rows = [row for row in rows if row[2]]
    for number in range(0, len(rows), MOST_ROWS):
        more = f"-{number // MOST_ROWS + 1}" if number else ""
        yield f"{name}{more}", shares_chart(rows[number : number + MOST_ROWS], what)


@styled
def shares_chart(rows: list[tuple[str, int, int]], what: str) -> Picture:
    """Show a part of a whole for each pair, as a bar that is filled so far, and in numbers."""
    picture, axes = sheet(len(rows), [label for label, *_ in rows], what)
    for row, (_, part, whole) in enumerate(rows):
        axes.barh(row, 1, height=0.62, facecolor="none", edgecolor=MUTED, linewidth=0.8)
        axes.barh(row, part / whole, height=0.62, color=OURS)
        axes.text(1.02, row, f"{part} of {whole}", va="center", color=INK)
    axes.set(xlim=(0, 1.15), xticks=[0, 0.5, 1], xticklabels=["none", "half", "all"])
    axes.spines["bottom"].set_bounds(0, 1)
    picture.alt = f"{what}: {', '.join(f'{label} {n} of {of}' for label, n, of in rows)}."
    return picture


def sheet(count: int, labels: list[str], title: str) -> tuple[Picture, Axes]:
    """Lay out a picture with a row for each label, the first on top."""
    picture = Picture(figsize=(WIDTH, 0.32 * count + 1.3), layout="constrained")
    axes = picture.subplots()
    axes.set(ylim=(count - 0.4, -0.6), yticks=range(count))
    axes.set_yticklabels(labels, parse_math=False)
    axes.set_title(title, loc="left")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    return picture, axes
