"""Draw what is quicker seen than read; each picture says the same in words as its `alt`."""

from __future__ import annotations

import base64
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from io import BytesIO
from itertools import groupby, zip_longest
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path as Curve
from matplotlib.ticker import LogLocator, MaxNLocator

from reimpl_helpers.base.growth import exponent
from reimpl_helpers.originals.recording import Operation
from reimpl_helpers.shapes import named_shape

WIDTH = 9.0  # inches; an inch is shown as 100 pixels
INK, MUTED, OURS, ORIGINAL = "#1a1a1a", "#595959", "#0072B2", "#D55E00"  # Okabe and Ito's
DIFFERENCE_FLOOR = 1e-3  # no difference scale is finer than this part of the largest value
styled = matplotlib.rc_context(
    {
        "font.family": "DejaVu Sans",
        "font.size": 10,
        "axes.titlesize": 10,
        "axes.labelsize": 10,
        "xtick.labelsize": 9,
        "ytick.labelsize": 9,
        "legend.fontsize": 10,
        "text.color": INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": False,
        "figure.facecolor": "white",
        "axes.facecolor": "white",
        "savefig.facecolor": "white",
    }
)


class Picture(Figure):
    """Be a Matplotlib figure that a notebook shows once, with `alt` as its text."""

    alt = ""

    def __repr__(self) -> str:
        return self.alt

    def bundle(self, dpi: int = 160) -> tuple[dict[str, str], dict[str, Any]]:
        """Give what a notebook stores: the drawing, its words, and the size to show it at."""
        buffer = BytesIO()
        self.savefig(buffer, format="png", dpi=dpi)
        width, height = (round(inches * 100) for inches in self.get_size_inches())
        image = base64.b64encode(buffer.getvalue()).decode()
        shown = {"width": width, "height": height, "alt": self.alt}
        return {"image/png": image, "text/plain": self.alt}, {"image/png": shown}

    def _ipython_display_(self) -> None:  # before pyplot's own formatter, which would crop
        from IPython.display import display

        data, metadata = self.bundle()
        display(data, metadata=metadata, raw=True)


# --- ours beside the original's


class _Pair:
    """Hold the original's array and ours, and draw either or their difference as a map."""

    def __init__(self, original: Any, ours: Any):
        self.original, self.ours = np.asarray(original, float), np.asarray(ours, float)
        if self.original.shape != self.ours.shape:
            raise ValueError(
                f"the original's shape is {self.original.shape}, ours {self.ours.shape}: bring "
                "ours into the original's shape before comparing"
            )
        self.difference = self.ours - self.original
        known = np.abs(self.difference[np.isfinite(self.difference)])
        largest, bad = known.max(initial=0.0), self.difference.size - known.size
        self.floor = DIFFERENCE_FLOOR * (np.abs(self.original).max(initial=0.0) or 1.0)
        self.limit = max(largest, self.floor)
        not_finite = f", {bad} not finite (orange)" if bad else ""
        floor = f" (the colour scale ends at ±{self.limit:.1g})" if largest < self.limit else ""
        self.note = f"largest difference {largest:.2g}{not_finite}{floor}"
        rounded = f"{largest:.2g}" if largest >= 1e-9 else "below 1e-9"
        self.alt = f"largest difference {rounded}{not_finite}"

    def bar_ends(self) -> str:
        """Point a colour bar's ends where ours leaves the original's range."""
        known = self.ours[np.isfinite(self.ours)]
        below = (known < self.original.min() - self.floor).any()
        above = (known > self.original.max() + self.floor).any()
        return ("neither", "min", "max", "both")[below + 2 * above]

    def show_values(self, axes: Axes, values: np.ndarray, colours: str) -> Any:
        """Draw in the original's range."""
        return _map(axes, values, colours, self.original.min(), self.original.max())

    def show_difference(self, axes: Axes, values: np.ndarray) -> Any:
        """Draw in colours that meet at zero."""
        return _map(axes, values, "RdBu_r", -self.limit, self.limit)


def _map(axes: Axes, values: np.ndarray, colours: str, low: float, high: float) -> Any:
    axes.spines[:].set_visible(False)
    return axes.imshow(
        values,
        cmap=matplotlib.colormaps[colours].with_extremes(bad=ORIGINAL),
        vmin=low,
        vmax=high,
        aspect="auto",
        interpolation="nearest",
    )


@styled
def compare_images(
    original: Any,
    ours: Any,
    shape: tuple[int, int],
    titles: Sequence[str] = ("original", "ours", "difference"),
) -> Picture:
    """Show images in three rows: the original's, ours, and ours minus the original's.

    Shapes: original and ours (images, pixels), shape (height, width) of one image.
    Raises: ValueError when the two shapes differ.
    """
    pair = _Pair(original, ours)
    count = len(pair.original)
    side = min(1.3, 6.7 / count)
    picture = Picture(figsize=(count * side + 2.3, 3 * side + 0.7), layout="constrained")
    picture.get_layout_engine().set(rect=(0.02, 0, 0.98, 1))
    grid = picture.subplots(3, count, squeeze=False)
    for column, axes in enumerate(grid.T):
        pair.show_values(axes[0], pair.original[column].reshape(shape), "Greys")
        inked = pair.show_values(axes[1], pair.ours[column].reshape(shape), "Greys")
        apart = pair.show_difference(axes[2], pair.difference[column].reshape(shape))
    for axes in grid.flat:
        axes.set(xticks=[], yticks=[], aspect="equal")
    for axes, title in zip(grid[:, 0], titles, strict=True):
        axes.set_ylabel(title, rotation=0, ha="right", va="center", labelpad=8)
    picture.colorbar(inked, ax=grid[:2], pad=0.02, aspect=22, extend=pair.bar_ends())
    picture.colorbar(apart, ax=grid[2], pad=0.02, aspect=10)
    picture.supxlabel(pair.note, fontsize=10)
    picture.alt = f"{count} images, {titles[0]} above {titles[1]}: {pair.alt}."
    return picture


@styled
def show_images(rows: Mapping[str, Any], shape: tuple[int, int]) -> Picture:
    """Show images in rows, a title before each row.

    Shapes: each row (images, pixels), shape (height, width) of one image
    """
    count = max(map(len, rows.values()))
    side = min(1.3, 7.5 / count)
    picture = Picture(figsize=(count * side + 1.5, len(rows) * side + 0.2), layout="constrained")
    grid = picture.subplots(len(rows), count, squeeze=False)
    for axes in grid.flat:
        axes.set(xticks=[], yticks=[], aspect="equal")
        axes.spines[:].set_visible(False)
    for line, (title, images) in zip(grid, rows.items(), strict=True):
        for axes, image in zip(line, np.asarray(images, float), strict=False):
            _map(axes, image.reshape(shape), "Greys", 0, 1).axes.set_aspect("equal")
        line[0].set_ylabel(title, rotation=0, ha="right", va="center", labelpad=8)
    counts = ", ".join(f"{title} ({len(images)})" for title, images in rows.items())
    picture.alt = f"Images in rows: {counts}."
    return picture


@styled
def compare_activations(
    original: Any,
    ours: Any,
    name: str,
    titles: Sequence[str] = ("original", "ours", "difference"),
) -> Picture:
    """Show an activation as heat maps: the original's, ours, and ours minus the original's.

    Shapes: both (..., units); all axes but the last become rows.
    Raises: ValueError when the two shapes differ.
    """
    pair = _Pair(original, ours)
    shape = pair.original.shape
    rows = (-1, shape[-1] if shape else 1)
    height = min(4.5, 1.9 + 0.12 * math.prod(shape[:-1]))
    picture = Picture(figsize=(WIDTH, height), layout="constrained")
    left, middle, right = picture.subplots(1, 3, sharey=True)
    pair.show_values(left, pair.original.reshape(rows), "cividis")
    drawn = pair.show_values(middle, pair.ours.reshape(rows), "cividis")
    picture.colorbar(drawn, ax=[left, middle], pad=0.02, extend=pair.bar_ends())
    drawn = pair.show_difference(right, pair.difference.reshape(rows))
    picture.colorbar(drawn, ax=right, pad=0.04)
    for axes, title in zip((left, middle, right), titles, strict=True):
        axes.set(title=title, xlabel="unit")
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    left.set_ylabel("row")
    picture.suptitle(f"{name} {shape}", fontsize=11, fontweight="bold")
    picture.supxlabel(pair.note, fontsize=10)
    picture.alt = f"Heat maps of {name}, shape {shape}: {pair.alt}."
    return picture


@styled
def compare_histograms(
    ours: Mapping[str, Any],
    original: Mapping[str, Any],
    labels: Sequence[str] = ("ours", "original"),
) -> Picture:
    """Show how each parameter's values spread: ours as bars, the original's as outline.

    Shapes: ours any; original's values, or sorted quantiles at equal distances, of any number.
    Raises: ValueError when the original lacks a parameter of ours.
    """
    missing = [name for name in ours if name not in original]
    if missing:
        raise ValueError(f"the original has no {missing[0]!r}: it has {', '.join(original)}")
    columns = min(4, len(ours))
    rows = math.ceil(len(ours) / columns)
    picture = Picture(figsize=(WIDTH, 1.9 * rows + 0.4), layout="constrained")
    grid = picture.subplots(rows, columns, squeeze=False)
    for axes, (name, values) in zip(grid.flat, ours.items(), strict=False):
        values = np.ravel(np.asarray(values, float))
        known = values[np.isfinite(values)]
        _histogram(axes, known, np.sort(np.ravel(np.asarray(original[name], float))))
        bad = f", {values.size - known.size} not finite" if known.size < values.size else ""
        axes.set_title(f"{name}\n{values.size} values{bad}", fontsize=9.5)
    for axes in grid.flat[len(ours) :]:
        axes.set_axis_off()
    for axes in grid[:, 0]:
        axes.set_ylabel("share")
    picture.legend(grid[0, 0].patches, labels, loc="outside lower center", ncols=2, frameon=False)
    picture.alt = (
        "Histograms of "
        + "; ".join(
            f"{name}: {labels[0]} {np.min(value):.2g} to {np.max(value):.2g}, "
            f"the original's {np.min(original[name]):.2g} to {np.max(original[name]):.2g}"
            for name, value in ours.items()
        )
        + "."
    )
    return picture


def _histogram(axes: Axes, ours: np.ndarray, original: np.ndarray) -> None:
    low, high = ours.min(initial=original[0]), ours.max(initial=original[-1])
    if low == high:
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, 1 + int(np.clip(2 * ours.size ** (1 / 3), 4, 24)))
    shares = np.histogram(ours, edges)[0] / max(1, ours.size)
    below = np.interp(edges, original, np.linspace(0, 1, original.size), left=0)
    axes.stairs(shares, edges, fill=True, color=OURS, alpha=0.55)
    axes.stairs(np.diff(below), edges, color=ORIGINAL, linewidth=2)
    axes.xaxis.set_major_locator(MaxNLocator(3, symmetric=True))
    axes.yaxis.set_major_locator(MaxNLocator(3))


# --- training


@styled
def loss_curve(
    ours: Any,
    original: Any = None,
    labels: Sequence[str] = ("ours", "original"),
    steps: int | None = None,
) -> Picture:
    """Show the loss step by step, the original's dashed on top so that equal curves both show.

    Shapes: ours (steps,), original (steps of the original,); `steps` widens the axis.
    """
    curves = [np.asarray(curve, float) for curve in (ours, original) if curve is not None]
    picture = Picture(figsize=(WIDTH, 3.4), layout="constrained")
    axes = picture.subplots()
    looks = (
        {
            "color": OURS,
            "linewidth": 4,
            "alpha": 0.75,
            "solid_capstyle": "round",
            "marker": "o" if len(curves[0]) == 1 else "",
        },
        {
            "color": ORIGINAL,
            "linewidth": 1.8,
            "dashes": (4, 2.5),
            "marker": "o",
            "markersize": 4,
            "markevery": max(1, len(curves[-1]) // 20),
        },
    )
    for curve, label, look in zip(curves, labels, looks, strict=False):
        axes.plot(np.arange(1, len(curve) + 1), curve, label=label, **look)
    known = np.concatenate(curves)
    known = known[np.isfinite(known)]
    if known.size and known.min() > 0 and known.max() > 5 * known.min():
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter("")
    axes.set(xlabel="step", ylabel="loss", xlim=(0, (steps or max(map(len, curves))) + 1))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(axis="y", color="#dddddd", linewidth=0.8)
    if len(curves) > 1:
        axes.legend(frameon=False)
    picture.alt = "Loss curve. " + " ".join(
        f"{label}: {_ends(curve)}." for curve, label in zip(curves, labels, strict=False)
    )
    return picture


def _ends(losses: np.ndarray) -> str:
    if not losses.size:
        return "no step yet"
    bad = np.flatnonzero(~np.isfinite(losses))
    if bad.size:
        return f"{losses[0]:.3g} at first, not finite from step {bad[0] + 1} on"
    return f"{losses[0]:.3g} at first, {losses[-1]:.3g} after {losses.size} steps"


class LiveLossCurve:
    """Redraw one loss curve in place while training; call it with all losses so far.

    It draws at most five times a second, and the last of `total_steps` always; then it prints
    where the training stands, "step 600 of 600, loss 0.0312". Without a notebook each drawing
    is such a line.
    """

    pause = 0.2  # seconds between drawings

    def __init__(self, total_steps: int, original: Any = None):
        self.total_steps, self.original = total_steps, original
        self.losses: Any = ()
        self._display, self._drawn_at = None, -math.inf

    @property
    def text(self) -> str:
        """Say where the training stands."""
        loss = f", loss {float(self.losses[-1]):.3g}" if len(self.losses) else ""
        return f"step {len(self.losses)} of {self.total_steps}{loss}"

    def __call__(self, losses: Any) -> None:
        from IPython import get_ipython

        self.losses = losses
        last = len(losses) >= self.total_steps
        if not last and time.monotonic() - self._drawn_at < self.pause:
            return
        if get_ipython() is not None:
            self._draw(dpi=160 if last else 100)
        if last or get_ipython() is None:
            print(self.text)
        self._drawn_at = time.monotonic()

    def picture(self) -> Picture:
        """Draw the curve as it stands."""
        picture = loss_curve(self.losses, self.original, steps=self.total_steps)
        axes = picture.axes[0]
        axes.set_title(self.text, loc="left", fontweight="bold", pad=12)
        for color, share in (("#dddddd", 1), (OURS, len(self.losses) / self.total_steps)):
            axes.plot(  # a progress bar on the upper edge
                [0, share],
                [1, 1],
                color=color,
                linewidth=6,
                solid_capstyle="butt",
                transform=axes.transAxes,
                clip_on=False,
                scalex=False,
                scaley=False,
            )
        # the same at every redraw: nbval compares the first, a saved notebook holds the last
        picture.alt = f"Loss curve of {self.total_steps} steps."
        return picture

    def _draw(self, dpi: int) -> None:
        from IPython.display import display

        data, metadata = self.picture().bundle(dpi)
        if self._display is None:
            self._display = display(data, metadata=metadata, raw=True, display_id=True)
        else:
            self._display.update(data, metadata=metadata, raw=True)


# --- what a model costs


@styled
def show_times(
    measured: Mapping[int, float],
    predicted: Mapping[int, float],
    roof: Mapping[int, float],
    counted: Mapping[int, float],
    size: str,
) -> Picture:
    """Show seconds over sizes in logarithms: points measured, predictions, the roofline below.

    Beside the points runs the straight line that fits them best. The legend says its exponent, and
    that of the counted operations. Predictions of sizes that were not measured are rings.

    Units: all but counted in seconds; counted in operations
    """
    fitted, work = (exponent(values, values.values()) for values in (measured, counted))
    picture = Picture(figsize=(WIDTH, 4), layout="constrained")
    axes = picture.subplots()
    sizes, seconds = np.array(list(measured)), np.array(list(measured.values()))
    middle = np.exp(np.log(seconds).mean() + fitted * (np.log(sizes) - np.log(sizes).mean()))
    label = f"measured, and a straight line: {size} to the power of {fitted:.2f}"
    axes.plot(sizes, middle, color=OURS, linewidth=1)
    axes.plot(sizes, seconds, "o", color=OURS, markersize=7)
    handles = axes.plot([], [], "o-", color=OURS, label=label)
    handles += axes.plot(
        *zip(*sorted(predicted.items()), strict=True), "--", color=ORIGINAL, label="predicted"
    )
    unseen = sorted(set(predicted) - set(measured))
    handles += axes.plot(
        unseen,
        [predicted[number] for number in unseen],
        "o",
        color=ORIGINAL,
        fillstyle="none",
        markersize=11,
        label="predicted, not measured yet",
    )
    label = f"the roofline; operations counted: {size} to the power of {work:.2f}"
    handles += axes.plot(*zip(*sorted(roof.items()), strict=True), color=MUTED, label=label)
    axes.set(xscale="log", yscale="log", xlabel=size, ylabel="seconds")
    axes.grid(color="#dddddd", linewidth=0.8)
    axes.legend(handles=handles, frameon=False, loc="upper left")
    picture.alt = (
        f"Seconds over {size}, both in logarithms: {len(sizes)} sizes measured, a line that fits "
        f"them, {len(unseen)} {'size' if len(unseen) == 1 else 'sizes'} predicted, and the "
        "roofline below."
    )
    return picture


# --- what a track ends on


@styled
def draw_network(
    places: Any, ties: Any, groups: Any, truth: Any, told: Sequence[int], names: Sequence[str]
) -> Picture:
    """Draw a network coloured by group: squares were told theirs, a ring marks a wrong guess.

    Shapes: places (num_nodes, 2), ties (num_ties, 2), groups and truth (num_nodes,), 0 or 1;
        `names` says what the two groups are called. Nodes are counted from 1 on the picture.
    """
    places, groups, truth = (np.asarray(part) for part in (places, groups, truth))
    wrong = np.flatnonzero(groups != truth)
    picture = Picture(figsize=(WIDTH, 6.4), layout="constrained")
    axes = picture.subplots()
    axes.set_axis_off()
    for one, other in np.asarray(ties):
        axes.plot(*places[[one, other]].T, color="#bbbbbb", linewidth=1, zorder=1)
    axes.scatter(*places[wrong].T, s=700, facecolor="none", edgecolor=INK, linewidth=2, zorder=2)
    for group, color in enumerate((OURS, ORIGINAL)):
        for is_told, marker in ((False, "o"), (True, "s")):
            chosen = [n for n in np.flatnonzero(groups == group) if (n in told) == is_told]
            label = "" if is_told else f"{names[group]} ({np.sum(groups == group)})"
            shape = {"s": 340, "marker": marker, "color": color, "zorder": 3, "label": label}
            axes.scatter(*places[chosen].T, **shape)
    for number, place in enumerate(places, 1):
        axes.text(*place, number, color="white", size=9, ha="center", va="center", zorder=4)
    axes.legend(frameon=False, markerscale=0.7, loc="lower right")
    right = len(truth) - len(wrong)
    mistaken = f", wrong: {', '.join(str(n + 1) for n in wrong)}" if wrong.size else ""
    picture.alt = (
        f"Network of {len(truth)} nodes and {len(ties)} ties, {right} of {len(truth)} in their "
        f"true group{mistaken}."
    )
    axes.set_title(f"{right} of {len(truth)} right", loc="left", fontweight="bold")
    return picture


@styled
def compare_sentences(sentences: Sequence[str], vectors: Any) -> Picture:
    """Show how alike sentences are, the darker the closer; a dot marks the nearest of each row.

    A sentence beside itself is left blank: it would take up the whole scale.

    Shapes: vectors (len(sentences), width), each of length 1
    Raises: ValueError where there are fewer than two sentences, or not a vector for each.
    """
    vectors, count = np.asarray(vectors, float), len(sentences)
    if count < 2 or len(vectors) != count:
        raise ValueError(
            f"{count} sentences and {len(vectors)} vectors, expected two sentences or more and a "
            "vector for each. Hand over what the model says of these very sentences."
        )
    alike = vectors @ vectors.T
    np.fill_diagonal(alike, np.nan)
    nearest, largest = np.nanargmax(alike, axis=1), np.nanmax(alike)
    picture = Picture(figsize=(WIDTH, 0.21 * count + 0.8), layout="constrained")
    axes = picture.subplots()
    image = axes.imshow(alike, cmap="Blues", vmin=0, vmax=max(largest, 0.1), aspect="auto")
    is_dark = alike[range(count), nearest] > largest / 2
    axes.scatter(nearest, range(count), s=9, c=np.where(is_dark, "white", INK))
    labels = [f"{_shortened(text, 60)}  {number}" for number, text in enumerate(sentences, 1)]
    axes.set_yticks(range(count), labels)
    axes.set_xticks(range(4, count, 5), range(5, count + 1, 5))
    axes.tick_params(length=0, labelsize=9)
    bar = picture.colorbar(image, aspect=40, label="cosine")
    bar.outline.set_visible(False)
    one, other = np.unravel_index(np.nanargmax(alike), alike.shape)
    picture.alt = (
        f"How alike {count} sentences are. The closest two, {largest:.2f}: "
        f"“{sentences[one]}” and “{sentences[other]}”."
    )
    return picture


# --- the score of a pair's tests


@styled
def score_map(score: Any) -> Picture:
    """Show the mistakes of `track.score()` as squares, a row a function: filled if caught."""
    kinds = list(dict.fromkeys(found.mistake.kind for found in score.findings))
    names = list(dict.fromkeys(found.mistake.piece for found in score.findings))
    if not names:
        return _words(score.headline)
    rows = {
        (name, kind): [found for found in score.of(kind) if found.mistake.piece == name]
        for name in names
        for kind in kinds
    }
    widths = [max(len(rows[name, kind]) for name in names) for kind in kinds]
    starts = np.cumsum([0] + [width + 2 for width in widths])
    picture = Picture(figsize=(WIDTH, 0.27 * len(names) + 1.1), layout="constrained")
    axes = picture.subplots()
    for row, name in enumerate(names):
        for start, kind in zip(starts, kinds, strict=False):
            caught = sorted(found.caught_by is None for found in rows[name, kind])
            for column, missed in enumerate(caught):
                look = {"facecolors": "none" if missed else OURS, "marker": "s", "s": 70}
                axes.scatter(start + column, row, edgecolors=ORIGINAL if missed else OURS, **look)
    axes.set(
        xlim=(-1, starts[-1] - 1),
        ylim=(len(names) - 0.4, -0.6),
        xticks=starts[:-1],
        yticks=range(len(names)),
        yticklabels=names,
    )
    axes.set_xticklabels(kinds, ha="left")
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    handles = [
        axes.scatter([], [], marker="s", s=70, facecolors=fill, edgecolors=edge)
        for fill, edge in ((OURS, OURS), ("none", ORIGINAL))
    ]
    picture.legend(handles, ("caught", "missed"), loc="outside lower right", ncols=2, frameon=False)
    caught = {name: sum(f.mistake.piece == name for f in score.caught) for name in names}
    total = {name: sum(f.mistake.piece == name for f in score.findings) for name in names}
    picture.alt = (
        "Mistakes caught, by function: "
        + ", ".join(f"{name} {caught[name]} of {total[name]}" for name in names)
        + "."
    )
    return picture


def _words(text: str) -> Picture:
    """Say in a picture why there is none."""
    picture = Picture(figsize=(WIDTH, 0.6))
    picture.text(0.01, 0.5, text, va="center")
    picture.alt = text
    return picture


# --- the forward pass as a graph: boxes in layers, read downwards; lengths in inches

_TINTS = (
    ("#E6F1F8", "#00568A"),
    ("#FCEEDD", "#8A4300"),
    ("#E3F4ED", "#00604A"),
    ("#F8E8F1", "#8C2F66"),
)
_BOX, _PILL, _BEND, _BETWEEN = 3.85, 0.7, 0.2, 0.25  # widths
_STRAIGHT, _CURVED, _STUB, _HEADER = 0.46, 0.66, 0.34, 0.4  # heights
_MARGIN, _PAD = 0.3, 0.1
_MONO = 0.08  # a character of DejaVu Sans Mono at 9 points, rounded up to pixels


@dataclass(eq=False)
class _Node:
    """A box (an operation), a pill (an input, the result) or a bend in a long arrow."""

    operation: Operation | None = None
    name: str = ""
    params: str = ""
    before: list[_Node] = field(default_factory=list)
    layer: int = 0
    x: float = 0.0
    top: float = 0.0
    width: float = _BEND
    height: float = 0.3


@dataclass(eq=False)
class _Arrow:
    source: _Node
    target: _Node
    label: str
    bends: list[_Node] = field(default_factory=list)


@styled
def forward_graph(
    operations: Sequence[Operation],
    sizes: Mapping[str, int],
    title: str | None = None,
    params: Mapping[str, Any] | None = None,
    inputs: Mapping[str, Any] | None = None,
    names: Mapping[str, str] | None = None,
) -> Picture:
    """Draw a traced forward pass: a box for each operation, shapes on the arrows.

    `names` says what values are called that come from before a part that is drawn: "#26" is "h".

    Shapes: axes named by `sizes`; parameters and inputs show theirs when they are given.
    """
    names = names or {}
    operations = [
        replace(operation, inputs=tuple(names.get(name, name) for name in operation.inputs))
        for operation in operations
    ]
    nodes, arrows = _nodes_and_arrows(operations, sizes, params, inputs or {})
    columns = _columns(_layers(nodes, arrows))
    chain = all(len(layer) == 1 for column in columns for layer in column)
    span = _BOX if chain else WIDTH - 2 * _MARGIN
    for number, column in enumerate(columns):
        _place(
            column,
            _MARGIN + span / 2 + number * (span + 2 * _MARGIN),
            span,
            0.6 if title else 0.15,
            new=number > 0,
        )
    width = len(columns) * (span + 2 * _MARGIN) + (0 if chain else 0.5)  # room for a last label
    height = max(node.top + node.height for node in nodes) + 0.15
    picture = Picture(figsize=(width, height))
    axes = picture.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()
    colours = _draw_panels(axes, operations, nodes)
    bends = [bend for arrow in arrows for bend in arrow.bends]
    for node in nodes:
        _draw_arrows(axes, [arrow for arrow in arrows if arrow.target is node])
        alone = sum(1 for other in nodes if other.top == node.top) == 1
        _draw_label(
            axes,
            node,
            [arrow for arrow in arrows if arrow.source is node],
            bends if alone else [],
            narrow=not alone and not node.operation,
        )
        _draw_node(axes, node, colours)
    if title:
        axes.text(_MARGIN - 0.15, 0.3, title, fontsize=12, fontweight="bold", va="center")
    picture.alt = _graph_in_words(operations, sizes)
    return picture


def _nodes_and_arrows(operations, sizes, params, inputs) -> tuple[list[_Node], list[_Arrow]]:
    """Make a node of each operation and input, and an arrow of each value that one reads."""
    nodes: dict[str, _Node] = {}
    arrows = []
    for operation in operations:
        node = _Node(operation)
        for read in dict.fromkeys(operation.inputs):
            if _is_parameter(read, params):
                shape = f" {named_shape(np.shape(params[read]), sizes)}" if params else ""
                name = read.removeprefix(f"{operation.module}.")
                node.params += f"{', ' if node.params else ''}{name}{shape}"
                continue
            key, part = (*read.split("."), "0")[:2] if read.startswith("#") else (read, "0")
            source = nodes.setdefault(key, _Node(name=key))
            value = source.operation.values[int(part)] if source.operation else inputs.get(key)
            label = "" if value is None else named_shape(np.shape(value), sizes)
            arrows.append(_Arrow(source, node, label))
        node.height = 0.74 if node.params else 0.53
        nodes[f"#{operation.index}"] = node
    result = nodes["result"] = _Node(name="result")
    label = named_shape(operations[-1].shapes[0], sizes)
    arrows.append(_Arrow(nodes[f"#{operations[-1].index}"], result, label))
    return list(nodes.values()), arrows


def _is_parameter(name: str, params: Mapping[str, Any] | None) -> bool:
    return not name.startswith("#") and (name in params if params is not None else "." in name)


def _layers(nodes: list[_Node], arrows: list[_Arrow]) -> list[list[_Node]]:
    """Sort nodes into layers, lead long arrows through those between, and untangle."""
    for arrow in arrows:  # in the order of the trace: whatever is read stands before
        arrow.target.layer = max(arrow.target.layer, arrow.source.layer + 1)
    nodes[-1].layer = max(node.layer for node in nodes)
    layers: list[list[_Node]] = [[] for _ in range(nodes[-1].layer + 1)]
    for node in nodes:
        layers[node.layer].append(node)
    for arrow in arrows:
        above = arrow.source
        for layer in layers[above.layer + 1 : arrow.target.layer]:
            bend = _Node(before=[above], height=0)
            arrow.bends.append(bend)
            layer.append(bend)
            above = bend
        arrow.target.before.append(above)
    for above, layer in zip(layers, layers[1:], strict=False):
        layer.sort(key=lambda node: np.mean([above.index(b) for b in node.before] or [0]))
    return layers


def _columns(layers: list[list[_Node]]) -> list[list[list[_Node]]]:
    """Fold a long chain in two, where one function ends and the next begins if it can be."""
    if len(layers) <= 6 or max(map(len, layers)) > 1:
        return [layers]
    function = [layer[0].operation.function if layer[0].operation else "" for layer in layers]
    cuts = [i for i in range(2, len(layers) - 2) if function[i] != function[i - 1]]
    cut = min(cuts or range(2, len(layers)), key=lambda i: abs(i - len(layers) / 2))
    return [layers[:cut], layers[cut:]]


def _box_width(layers: list[list[_Node]], span: float) -> float:
    """Find the width at which the fullest layer fits into the span."""
    widths = [_BOX]
    for layer in layers:
        boxes = sum(1 for node in layer if node.operation)
        if boxes:
            bends = (len(layer) - boxes) * _BEND
            widths.append((span - bends - _BETWEEN * (len(layer) - 1)) / boxes)
    return min(widths)


def _pill_width(node: _Node) -> float:
    return max(_PILL, 0.3 + 0.085 * len(node.name))


def _place(layers: list[list[_Node]], middle: float, span: float, top: float, new: bool) -> None:
    """Stack layers downwards, each node below what it reads as far as its neighbours allow."""
    box = _box_width(layers, span)
    placed: set[int] = set()
    functions: set[str] = set()
    top += 0.3 + _STRAIGHT if new else 0  # level with the first column, which a pill opens
    for layer, after in zip_longest(layers, layers[1:], fillvalue=()):
        for node in layer:
            pill = max(2 * _PILL, _pill_width(node)) if node.name else _BEND
            node.width = box if node.operation else pill
        _place_across(layer, placed, middle, span)
        placed.update(map(id, layer))
        before, functions = functions, {n.operation.function for n in layer if n.operation}
        top += _HEADER if functions - before else 0
        height = max(node.height for node in layer)
        for node in layer:
            node.top, node.height = top, node.height or height
        top += height + (_STRAIGHT if len(layer) == len(after) == 1 else _CURVED)


def _place_across(layer: list[_Node], placed: set[int], middle: float, span: float) -> None:
    above = [[b.x for b in node.before if id(b) in placed] or [middle] for node in layer]
    wishes = [np.mean(xs) for xs in above]
    right = -math.inf
    for node, wish in zip(layer, wishes, strict=True):
        node.x = max(wish, right + node.width / 2)
        right = node.x + node.width / 2 + _BETWEEN
    shift = np.mean(wishes) - np.mean([node.x for node in layer])
    first, last = layer[0].x - layer[0].width / 2, layer[-1].x + layer[-1].width / 2
    shift = min(max(shift, middle - span / 2 - first), middle + span / 2 - last)
    for node in layer:
        node.x += shift


def _draw_panels(axes: Axes, operations, nodes: list[_Node]) -> dict[str, tuple[str, str]]:
    """Put a tinted panel behind each run of one function; give the colours by function."""
    functions = list(dict.fromkeys(operation.function for operation in operations))
    colours = {name: _TINTS[i % len(_TINTS)] for i, name in enumerate(functions)}
    boxes = [node for node in nodes if node.operation]
    for name, run in groupby(boxes, key=lambda node: node.operation.function):
        run = list(run)
        left = min(node.x - node.width / 2 for node in run) - 0.15
        right = max(node.x + node.width / 2 for node in run) + 0.15
        top = min(node.top for node in run) - _HEADER + 0.06
        bottom = max(node.top + node.height for node in run) + 0.13
        tint, dark = colours[name]
        axes.add_patch(
            _rounded(
                left,
                top,
                right - left,
                bottom - top,
                0.1,
                facecolor=tint,
                edgecolor="none",
                zorder=0,
            )
        )
        axes.text(
            left + 0.15,
            top + 0.18,
            name,
            color=dark,
            fontsize=10.5,
            fontweight="bold",
            va="center",
            gid="function",
        )
    return colours


def _rounded(left, top, width, height, radius, **look) -> FancyBboxPatch:
    return FancyBboxPatch(
        (left, top), width, height, boxstyle=f"round,pad=0,rounding_size={radius}", **look
    )


def _draw_node(axes: Axes, node: _Node, colours: Mapping[str, tuple[str, str]]) -> None:
    left, width, operation = node.x - node.width / 2, node.width, node.operation
    if operation is None:
        axes.add_patch(
            _rounded(
                node.x - _pill_width(node) / 2,
                node.top,
                _pill_width(node),
                node.height,
                0.15,
                facecolor=INK,
                edgecolor="none",
                gid="end",
            )
        )
        axes.text(
            node.x,
            node.top + node.height / 2,
            node.name,
            color="white",
            fontsize=10,
            fontweight="bold",
            ha="center",
            va="center",
        )
        return
    dark = colours[operation.function][1]
    axes.add_patch(
        _rounded(
            left,
            node.top,
            width,
            node.height,
            0.07,
            facecolor="white",
            edgecolor=dark,
            linewidth=1.3,
            gid="operation",
        )
    )
    assigned = f"{operation.variable} = " if operation.variable else ""
    code = " ".join(f"{assigned}{operation.expression}".split())
    room = int((width - 2 * _PAD) / _MONO)
    lines = [
        (operation.op, {"fontweight": "bold", "fontsize": 10.5}),
        (_shortened(code, room), {"family": "DejaVu Sans Mono", "fontsize": 9}),
        (_shortened(node.params, round(1.1 * room)), {"fontsize": 9, "color": dark}),
    ]
    for line, (text, look) in enumerate(lines):
        axes.text(left + _PAD, node.top + 0.16 + 0.21 * line, text, va="center", **look)
    if 1.4 * len(operation.op) + 9 < room:
        axes.text(
            left + width - _PAD,
            node.top + 0.16,
            f"line {operation.line}",
            fontsize=9,
            color=MUTED,
            ha="right",
            va="center",
        )


def _shortened(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"


def _draw_arrows(axes: Axes, arrows: list[_Arrow]) -> None:
    """Draw the arrows into one node, side by side in the order they come from."""
    arrows = sorted(arrows, key=lambda a: a.bends[-1].x if a.bends else a.source.x)
    for number, arrow in enumerate(arrows):
        apart = 0.8 * arrow.target.width / len(arrows)
        x = arrow.target.x + min(apart, 1.5) * (number - (len(arrows) - 1) / 2)
        downwards = arrow.target.top > arrow.source.top
        points, codes = (_smooth_path if downwards else _path_to_next_column)(arrow, x)
        axes.add_patch(
            FancyArrowPatch(
                path=Curve(points, codes),
                arrowstyle="-|>,head_length=5,head_width=3",
                color=INK,
                linewidth=1.4,
                mutation_scale=1,
                zorder=2,
            )
        )


def _smooth_path(arrow: _Arrow, x: float) -> tuple[list, list]:
    """Leave straight downwards, beside the label, then curve to the next layer."""
    points = [(arrow.source.x, arrow.source.top + arrow.source.height)]
    codes = [Curve.MOVETO]
    for stop in [*arrow.bends, None]:
        left, bottom = points[-1]
        right, top = (stop.x, stop.top) if stop else (x, arrow.target.top)
        half = (bottom + _STUB + top) / 2
        points += [(left, bottom + _STUB), (left, half), (right, half), (right, top)]
        codes += [Curve.LINETO] + [Curve.CURVE4] * 3
        if stop:
            points.append((right, top + stop.height))
            codes.append(Curve.LINETO)
    return points, codes


def _path_to_next_column(arrow: _Arrow, x: float) -> tuple[list, list]:
    """Go out below, up between the columns, and in from above."""
    source, target = arrow.source, arrow.target
    start = source.top + source.height
    between = (source.x + source.width / 2 + target.x - target.width / 2) / 2
    below, above = start + 0.42, target.top - _HEADER - 0.15
    corners = [
        (source.x, start),
        (source.x, below),
        (between, below),
        (between, above),
        (x, above),
        (x, target.top),
    ]
    return _with_round_corners(corners)


def _draw_label(
    axes: Axes, node: _Node, arrows: list[_Arrow], bends: list[_Node], narrow: bool
) -> None:
    """Write the shape of what a node gives beside its arrows, where no other arrow passes."""
    text = " and ".join(dict.fromkeys(arrow.label for arrow in arrows))
    if narrow:  # inputs stand close together
        text = text.replace(", ", ",\n", 1)
    length = 0.15 + 0.07 * len(text)
    crossed = any(node.x < b.x < node.x + length for b in bends if b.top == node.top)
    side = -1 if crossed else 1
    axes.text(
        node.x + 0.1 * side,
        node.top + node.height + 0.23,
        text,
        fontsize=9,
        va="center",
        ha="left" if side > 0 else "right",
        gid="shape",
    )


def _with_round_corners(corners: list[tuple[float, float]], radius: float = 0.12):
    points, codes = [corners[0]], [Curve.MOVETO]
    for before, corner, after in zip(corners, corners[1:], corners[2:], strict=False):
        steps = [np.subtract(other, corner) for other in (before, after)]
        near, far = (corner + step / np.hypot(*step) * radius for step in steps)
        points += [tuple(near), corner, tuple(far)]
        codes += [Curve.LINETO, Curve.CURVE3, Curve.CURVE3]
    return [*points, corners[-1]], [*codes, Curve.LINETO]


def _graph_in_words(operations: Sequence[Operation], sizes: Mapping[str, int]) -> str:
    passages = []
    for name, run in groupby(operations, key=lambda operation: operation.function):
        steps = (
            f"{op.op} gives {' and '.join(named_shape(s, sizes) for s in op.shapes)}" for op in run
        )
        passages.append(f"{name}: {', '.join(steps)}")
    return f"Graph of {len(operations)} operations. {'; '.join(passages)}."
