"""What lives in the page: sliders beside the shapes they change, the bar of the two roles.

Each has a twin in words, for who cannot see it.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import anywidget
import traitlets
from ipywidgets import HTML, IntSlider, Layout, VBox

from reimpl_helpers.pair.pairing import HAND_IS_UP, Pair

HERE = Path(__file__).parent


class ShapeExplorer(VBox):
    """Show a slider for each size and below them the table that `evaluate` gives for these.

    Without a browser, and where widgets are not shown, its text is the table of the moment.
    """

    def __init__(
        self,
        evaluate: Callable[..., Any],
        sizes: Mapping[str, int],
        limits: Mapping[str, tuple[int, int]],
    ):
        self.evaluate = evaluate
        self.sliders = {
            axis: IntSlider(
                value=size,
                min=limits[axis][0],
                max=limits[axis][1],
                description=axis,
                tooltip=f"{axis}, from {limits[axis][0]} to {limits[axis][1]}",
                style={"description_width": "8em"},
                layout=Layout(width="32em", max_width="100%"),
            )
            for axis, size in sizes.items()
        }
        self.table = HTML()
        super().__init__([*self.sliders.values(), self.table])
        for slider in self.sliders.values():
            slider.observe(self._show, names="value")
        self._show()

    @property
    def sizes(self) -> dict[str, int]:
        """Read the sizes the sliders stand at."""
        return {axis: slider.value for axis, slider in self.sliders.items()}

    def _show(self, _change: Any = None) -> None:
        try:
            self.text, self.table.value = _text_and_html(self.evaluate(**self.sizes))
        except Exception as error:  # whatever the pair's code raises belongs below the sliders
            sizes = ", ".join(f"{axis} {size}" for axis, size in self.sizes.items())
            self.text = f"at {sizes}: {type(error).__name__}: {error}"
            self.table.value = f"<p><strong>{html.escape(self.text)}</strong></p>"

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        bundle = super()._repr_mimebundle_(**kwargs)
        return {**bundle, "text/plain": self.text}


def _text_and_html(table: Any) -> tuple[str, str]:
    if hasattr(table, "_repr_html_"):
        return repr(table), table._repr_html_()
    return str(table), f"<pre>{html.escape(str(table))}</pre>"


def shape_explorer(
    evaluate: Callable[..., Any],
    sizes: Mapping[str, int],
    limits: Mapping[str, tuple[int, int]],
) -> ShapeExplorer:
    """Explore by sliders what `evaluate(**sizes)`, a shape table, tells in text.

    Shapes: `sizes` gives each axis its first size, `limits` its smallest and its largest.
    Raises: ValueError when an axis has no limits or starts outside them.
    """
    for axis, size in sizes.items():
        if axis not in limits:
            raise ValueError(f"limits name {sorted(limits)}, not {axis!r}: add {axis}=(low, high)")
        low, high = limits[axis]
        if not low <= size <= high:
            raise ValueError(f"{axis} starts at {size}, outside its limits {low} to {high}")
    return ShapeExplorer(evaluate, sizes, limits)


class RolesBar(anywidget.AnyWidget):
    """Show who drives, the time to the next swap and the pieces done; ask for predictions.

    Everybody with the notebook open sees the same bar. Its text says the same in words.
    """

    _esm = HERE / "roles_bar.js"
    _css = HERE / "roles_bar.css"
    facts = traitlets.Dict().tag(sync=True)

    def __init__(self, pair: Pair):
        self.pair, self.note = pair, ""
        super().__init__(facts=self._facts())
        pair.watch(self._show)
        self.on_msg(self._asked)

    def _facts(self) -> dict[str, Any]:
        turn, open_question = self.pair.turn, self.pair.open_question()
        up = HAND_IS_UP if self.pair.hand_is_up else ""
        facts = {
            "driver": turn.driver,
            "navigator": turn.navigator,
            "also_here": self.pair.also_here,
            "turn": turn.number,
            "ends": turn.ends.timestamp() * 1000,
            "done": len(self.pair.done),
            "total": len(self.pair.pieces),
            "hand": bool(up),
            "question": {},
            "note": " ".join(filter(None, [up, self.note or self.pair.standing()])),
        }
        if open_question:
            piece, question = open_question
            text = f"{turn.navigator}, before the check: {question.text}"
            facts["question"] = {
                "piece": piece.name, "text": text, "choices": list(question.choices),
            }  # fmt: skip
        return facts

    def _show(self) -> None:
        self.facts = self._facts()

    def _asked(self, _widget: Any, message: Any, _buffers: Any) -> None:
        """Do what was clicked or typed in one of the browsers."""
        match message:
            case {"do": "swap", "turn": int(turn), "why": "clock" | "asked" as why}:
                self.note = ""
                self.pair.swap(why, turn)
            case {"do": "hand", "raised": bool(raised)}:
                self.note = ""
                self.pair.move_hand(raised)
            case {"do": "predict", "piece": str(name), "said": str(said)}:
                self.note = self.pair.predict(name, said)
                self._show()
                self.note = ""

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        bundle = super()._repr_mimebundle_(**kwargs)
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
        return {**data, "text/plain": str(self.pair)}, metadata
