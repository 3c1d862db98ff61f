"""Sum up a notebook for the two who worked through it: balance, predictions, what took longest."""

import html
import itertools
from collections import Counter
from dataclasses import dataclass

from reimpl_helpers.base.tables import aligned, html_table
from reimpl_helpers.base.words import plural
from reimpl_helpers.checks.verdict import NOT_WRITTEN, RIGHT
from reimpl_helpers.pair.minutes import stretches
from reimpl_helpers.pair.pairing import Pair


@dataclass(frozen=True)
class Row:
    """What the log tells about one piece."""

    piece: str
    drove: str
    minutes: float
    checks: int
    predicted: str
    came_true: bool | None

    def cells(self) -> tuple[str, ...]:
        so = {True: "came true", False: "came otherwise", None: ""}[self.came_true]
        return self.piece, self.drove, f"{self.minutes:.0f}", f"{self.checks}", self.predicted, so


class Summary:
    """Show one notebook's work, from the log as it is at this moment."""

    HEAD = ("piece", "drove", "minutes", "checks", "prediction", "")

    def __init__(self, pair: Pair):
        self.pair = pair
        self.driven, self.spent = minutes_in(pair)
        self.rows = [self._row(name) for name in pair.pieces]

    def _row(self, name):
        checks = [e for e in self.pair.events_here("check", name) if e["state"] != NOT_WRITTEN]
        right = next((e for e in checks if e["state"] == RIGHT), {})
        prediction = self.pair.prediction(name) or {"said": "", "navigator": ""}
        said = f"{prediction['navigator']}: {prediction['said']}" if prediction["said"] else ""
        so = self.pair.came_true(prediction)
        drove = str(right.get("driver", ""))
        return Row(name, drove, self.spent[name], len(checks), said, so)

    def lines(self) -> list[str]:
        """Say in words how the work was shared, what took longest, how predictions fared."""
        solved = Counter(row.drove for row in self.rows)
        shares = [
            f"{name} drove {plural(round(self.driven[name]), 'minute')} and "
            f"{plural(solved[name], 'piece')}"
            for name in self.pair.names
        ]
        lines = [f"{', '.join(shares)}."]
        longest = max(self.rows, key=lambda row: row.minutes, default=None)
        if longest and longest.minutes:
            took = plural(round(longest.minutes), "minute")
            lines.append(
                f"{longest.piece} took longest: {took}, {plural(longest.checks, 'check')}."
            )
        known = [row.came_true for row in self.rows if row.came_true is not None]
        if known:
            lines.append(f"{sum(known)} of {plural(len(known), 'prediction')} came true.")
        if self.pair.trouble():
            lines.append(self.pair.trouble())
        return lines

    def __repr__(self):
        table = aligned([self.HEAD, *(row.cells() for row in self.rows)])
        return "\n".join([*self.lines(), "", *table])

    def _repr_html_(self):
        words = "".join(f"<p>{html.escape(line)}</p>" for line in self.lines())
        table = html_table(self.HEAD, [row.cells() for row in self.rows])
        return f"{words}{self._balance()}{table}"

    def _balance(self):
        """Draw the minutes that each drove, side by side."""
        whole = sum(self.driven[name] for name in self.pair.names)
        if not whole:
            return ""
        parts = (
            f'<div style="flex: {self.driven[name]:.3f} 1 0; min-width: 6em; padding: 2px 8px; '
            f'color: {ink}; background: {paper}">{html.escape(name)}</div>'
            for name, (ink, paper) in zip(self.pair.names, itertools.cycle(COLORS), strict=False)
        )
        return f'<div style="display: flex; max-width: 40em">{"".join(parts)}</div>'


# of letters and of what is behind them, told apart by everybody
COLORS = ("#000000", "#e69f00"), ("#ffffff", "#0072b2"), ("#000000", "#cc79a7")


def minutes_in(pair: Pair) -> tuple[Counter, Counter]:
    """Count the minutes that each of a pair drove at this notebook, and that each piece took."""
    driven, spent = Counter(), Counter()
    for stretch in stretches(pair.log.read()):
        if (stretch.track, stretch.step) == (pair.track.name, pair.track.step):
            driven[stretch.driver] += stretch.minutes
            spent[stretch.piece] += stretch.minutes
    return driven, spent
