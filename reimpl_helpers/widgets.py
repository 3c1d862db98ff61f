"""Sliders beside the shapes they change (step 2); `evaluate(**sizes)` is the same without them."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping
from typing import Any

from ipywidgets import HTML, IntSlider, Layout, VBox


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
