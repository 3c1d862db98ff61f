"""Pictures are tested by the data drawn, the words beside it, and how often they appear."""

from itertools import combinations
from pathlib import Path

import nbformat
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from nbclient import NotebookClient

from reimpl_helpers import pictures
from reimpl_helpers.originals.recording import Operation
from reimpl_helpers.pictures import (
    LiveLossCurve,
    compare_activations,
    compare_histograms,
    compare_images,
    forward_graph,
    loss_curve,
    show_images,
    show_times,
)

SIZES = {"batch": 5, "pixels": 64, "hidden": 32, "code": 8}
LAYERS = {
    "enc_hidden": (32, 64),
    "enc_code": (8, 32),
    "dec_hidden": (32, 8),
    "dec_pixels": (64, 32),
}
PARAMS = {f"{name}.weight": np.zeros(shape) for name, shape in LAYERS.items()} | {
    f"{name}.bias": np.zeros(shape[:1]) for name, shape in LAYERS.items()
}


def operation(index, op, function, expression, inputs, *shapes, module="", variable=None):
    values = tuple(np.zeros(shape) for shape in shapes)
    return Operation(index, op, module, function, 20 + index, expression, variable, inputs, values)


def autoencoder():
    steps, read = [], "x"
    activations = ("relu", "tanh", "relu", "sigmoid")
    for (name, (out, _)), activation in zip(LAYERS.items(), activations, strict=True):
        function = "encoder" if name.startswith("enc") else "decoder"
        linear, shape = len(steps), (5, out)
        inputs = (read, f"{name}.weight", f"{name}.bias")
        steps.append(
            operation(linear, "linear", function, f"self.{name}(h)", inputs, shape, module=name)
        )
        call = f"torch.{activation}(self.{name}(h))"
        steps.append(operation(linear + 1, activation, function, call, (f"#{linear}",), shape))
        read = f"#{linear + 1}"
    return steps


def branched():
    """Split z in two gates, join them, and add x that goes around."""
    gate = (2, 4)
    return [
        operation(0, "Tensor.matmul", "cell", "x @ self.w", ("x", "w"), (2, 8), variable="z"),
        operation(1, "torch.chunk", "cell", "torch.chunk(z, 2, -1)", ("#0",), gate, gate),
        operation(2, "sigmoid", "cell", "torch.sigmoid(i)", ("#1.0",), gate),
        operation(3, "tanh", "cell", "torch.tanh(u)", ("#1.1",), gate),
        operation(4, "Tensor.mul", "cell", "i * u", ("#2", "#3"), gate),
        operation(5, "Tensor.add", "forward", "x + h", ("x", "#4"), gate, variable="y"),
    ]


def graph(operations=None, **named):
    return forward_graph(
        operations or autoencoder(),
        SIZES,
        **{"params": PARAMS, "inputs": {"x": np.zeros((5, 64))}} | named,
    )


def branched_graph():
    sizes = {"batch": 2, "units": 4, "gates": 8}
    return forward_graph(
        branched(), sizes, params={"w": np.zeros((4, 8))}, inputs={"x": np.zeros((2, 4))}
    )


def texts(picture, gid=None):
    return [t.get_text() for t in picture.axes[0].texts if gid is None or t.get_gid() == gid]


def arrows(picture):
    return [p for p in picture.axes[0].patches if isinstance(p, FancyArrowPatch)]


def boxes(picture, gid):
    return [
        p for p in picture.axes[0].patches if isinstance(p, FancyBboxPatch) and p.get_gid() == gid
    ]


# --- the graph


def test_graph_has_a_box_an_operation_and_an_arrow_a_value_read():
    picture = graph()
    assert len(boxes(picture, "operation")) == 8
    assert len(boxes(picture, "end")) == 2
    assert len(arrows(picture)) == 9
    assert len(arrows(graph(autoencoder()[:4]))) == 5


def test_graph_labels_every_value_with_its_named_shape():
    assert [text for text in texts(graph(), "shape") if text] == [
        "(batch 5, pixels 64)", "(batch 5, hidden 32)", "(batch 5, hidden 32)",
        "(batch 5, code 8)", "(batch 5, code 8)", "(batch 5, hidden 32)",
        "(batch 5, hidden 32)", "(batch 5, pixels 64)", "(batch 5, pixels 64)",
    ]  # fmt: skip


def test_graph_labels_each_of_several_outputs_where_it_is_read():
    steps = [
        operation(0, "torch.split", "cell", "torch.split(x, [8, 32], -1)", ("x",), (5, 8), (5, 32)),
        operation(1, "relu", "cell", "torch.relu(b)", ("#0.1",), (5, 32)),
    ]
    assert texts(graph(steps), "shape")[1] == "(batch 5, hidden 32)"


def test_graph_says_operations_expressions_parameters_lines_and_functions():
    seen = texts(graph(title="All of it"))
    for text in ("linear", "tanh", "self.enc_code(h)", "line 23", "x", "result", "All of it"):
        assert text in seen
    assert "weight (hidden 32, pixels 64), bias (hidden 32)" in seen
    assert texts(graph(), "function") == ["encoder", "decoder"]


def test_graph_without_arrays_still_knows_parameters_by_their_dots():
    picture = forward_graph(autoencoder(), SIZES)
    assert len(arrows(picture)) == 9
    assert "weight, bias" in texts(picture)


def test_graph_writes_what_an_expression_is_assigned_to():
    assert "z = x @ self.w" in texts(branched_graph())


def test_graph_follows_branches_and_the_long_way_round():
    picture = branched_graph()
    assert len(arrows(picture)) == 8 + 1  # x is read twice, both halves of the chunk once
    assert [text for text in texts(picture, "shape") if text].count("(batch 2, units 4)") == 6


@pytest.mark.parametrize("picture", [graph, branched_graph])
def test_every_arrow_leaves_one_box_below_and_enters_another_above(picture):
    picture = picture()
    frames = [b.get_bbox() for gid in ("operation", "end") for b in boxes(picture, gid)]
    for arrow in arrows(picture):
        points = arrow.get_path().vertices  # of the line, then of its head
        x, y = points[0]
        (source,) = [f for f in frames if f.x0 <= x <= f.x1 and abs(f.y1 - y) < 1e-6]
        entered = [
            f for f in frames if any(f.x0 <= x <= f.x1 and abs(f.y0 - y) < 0.06 for x, y in points)
        ]
        assert len(entered) == 1
        assert entered[0] is not source


@pytest.mark.parametrize("picture", [graph, branched_graph])
def test_nothing_in_the_graph_overlaps_or_leaves_the_page(picture):
    picture = picture()
    frames = [b.get_bbox() for gid in ("operation", "end") for b in boxes(picture, gid)]
    assert not any(a.overlaps(b) for a, b in combinations(frames, 2))
    renderer = FigureCanvasAgg(picture).get_renderer()
    drawn = [t.get_window_extent(renderer) for t in picture.axes[0].texts if t.get_text()]
    assert not any(a.overlaps(b) for a, b in combinations(drawn, 2))
    page = picture.bbox
    assert all(
        page.x0 <= t.x0 and t.x1 <= page.x1 and page.y0 <= t.y0 and t.y1 <= page.y1 for t in drawn
    )


def test_a_long_expression_is_cut_to_its_box():
    steps = autoencoder()
    steps[1] = operation(1, "relu", "encoder", "torch.relu(" + "very_" * 20 + ")", ("#0",), (5, 32))
    picture = graph(steps)
    (cut,) = [text for text in texts(picture) if text.endswith("…")]
    assert cut.startswith("torch.relu(very_")
    renderer = FigureCanvasAgg(picture).get_renderer()
    (text,) = [t for t in picture.axes[0].texts if t.get_text() == cut]
    box = boxes(picture, "operation")[1].get_window_extent(renderer)
    assert text.get_window_extent(renderer).x1 < box.x1


def test_graph_in_words():
    alt = graph().alt
    assert alt.startswith("Graph of 8 operations. encoder: linear gives (batch 5, hidden 32), relu")
    assert alt.endswith("sigmoid gives (batch 5, pixels 64).")


def times():
    """Draw times that grow as a root, of operations that grow as the size does."""
    sizes = (1, 10, 100, 1000)
    measured, roof = {n: 1e-4 * n**0.5 for n in sizes}, {n: 1e-6 * n for n in sizes}
    return show_times(measured, measured | {50: 7e-4}, roof, {n: 9 * n for n in sizes}, "images")


def test_every_letter_is_at_least_nine_points():
    values = np.linspace(0, 1, 320).reshape(5, 64)
    for picture in (
        graph(), branched_graph(), compare_images(values, values, (8, 8)),
        compare_activations(values, values, "z"), compare_histograms({"w": values}, {"w": values}),
        loss_curve([3, 2], [3, 2]), show_images({"strange": values}, (8, 8)), times(),
    ):  # fmt: skip
        written = [t for t in picture.findobj(lambda a: hasattr(a, "get_fontsize")) if t.get_text()]
        assert min(t.get_fontsize() for t in written) >= 9


# --- ours beside the original's


@pytest.fixture
def images():
    return np.random.default_rng(0).uniform(size=(5, 64))


def shown(axes):
    return axes.images[0]


def test_images_in_three_rows(images):
    ours = images + 0.25
    picture = compare_images(images, ours, (8, 8), titles=("image", "ours", "apart"))
    grid = np.reshape(picture.axes[:15], (3, 5))
    for column in range(5):
        for row, values in enumerate((images, ours, ours - images)):
            np.testing.assert_array_equal(
                shown(grid[row, column]).get_array(), values[column].reshape(8, 8)
            )
    assert [axes.get_ylabel() for axes in grid[:, 0]] == ["image", "ours", "apart"]
    assert "largest difference 0.25" in picture.get_supxlabel()
    assert picture.alt == "5 images, image above ours: largest difference 0.25."


def test_times_beside_what_was_predicted():
    picture = times()
    (axes,) = picture.axes
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert "power of 0.50" in labels[0] and "power of 1.00" in labels[3]
    rings = next(line for line in axes.lines if line.get_label() == labels[2])
    np.testing.assert_array_equal(rings.get_xydata(), [[50, 7e-4]])
    assert axes.get_xscale() == axes.get_yscale() == "log"
    assert picture.alt == (
        "Seconds over images, both in logarithms: 4 sizes measured, a line that fits them, 1 size "
        "predicted, and the roofline below."
    )


def test_rows_of_images_with_their_titles(images):
    picture = show_images({"familiar": images, "strange": images[:2] / 2}, (8, 8))
    grid = np.reshape(picture.axes, (2, 5))
    for row, values in zip(grid, (images, images[:2] / 2), strict=True):
        for axes, image in zip(row, values, strict=False):
            np.testing.assert_array_equal(shown(axes).get_array(), image.reshape(8, 8))
            assert shown(axes).get_clim() == (0, 1)
    assert not any(axes.images for axes in grid[1, 2:])
    assert [axes.get_ylabel() for axes in grid[:, 0]] == ["familiar", "strange"]
    assert picture.alt == "Images in rows: familiar (5), strange (2)."


def test_original_and_ours_share_the_originals_scale_and_difference_has_zero_in_the_middle(images):
    picture = compare_images(images, images * 3, (8, 8))
    grid = np.reshape(picture.axes[:15], (3, 5))
    assert {shown(a).get_clim() for a in grid[:2].flat} == {(images.min(), images.max())}
    limit = np.abs(images * 3 - images).max()
    assert {shown(a).get_clim() for a in grid[2]} == {(-limit, limit)}
    assert {shown(a).get_cmap().name for a in grid[2]} == {"RdBu_r"}
    assert shown(grid[1, 4]).colorbar.extend == "max"


@pytest.mark.parametrize("noise", [0.0, 1e-16])
def test_rounding_does_not_look_like_a_mistake(images, noise):
    picture = compare_images(images, images + noise, (8, 8))
    apart = shown(picture.axes[14])
    assert apart.get_clim()[1] == pytest.approx(1e-3 * images.max())
    assert np.abs(apart.get_array()).max() < 1e-3 * apart.get_clim()[1]
    assert "colour scale ends at ±0.001" in picture.get_supxlabel()
    assert "below 1e-9" in picture.alt
    assert shown(picture.axes[5]).colorbar is None  # one bar for both rows, no arrows at its ends
    assert shown(picture.axes[9]).colorbar.extend == "neither"


def test_a_small_mistake_in_small_values_still_shows():
    tiny = np.random.default_rng(1).uniform(size=(2, 64)) * 1e-5
    ours = tiny.copy()
    ours[1, 7] *= 1.5
    apart = shown(compare_images(tiny, ours, (8, 8)).axes[5])
    assert np.abs(apart.get_array()).max() == apart.get_clim()[1]


def test_values_that_are_no_numbers_are_counted_and_coloured(images):
    ours = images.copy()
    ours[0, 0], ours[1, 1] = np.nan, np.inf
    picture = compare_images(images, ours, (8, 8))
    assert "2 not finite (orange)" in picture.get_supxlabel()
    assert "2 not finite" in picture.alt
    assert np.isfinite(shown(picture.axes[10]).get_clim()).all()


@pytest.mark.parametrize("compare", [compare_images, compare_activations])
def test_unequal_shapes_are_not_broadcast(compare):
    with pytest.raises(ValueError, match=r"\(5, 64\), ours \(1, 64\)"):
        compare(np.zeros((5, 64)), np.zeros((1, 64)), (8, 8))


def test_activations_are_three_maps(images):
    picture = compare_activations(images, images - 0.5, "hidden")
    left, middle, right = (shown(axes) for axes in picture.axes[:3])
    np.testing.assert_array_equal(left.get_array(), images)
    np.testing.assert_array_equal(middle.get_array(), images - 0.5)
    np.testing.assert_allclose(right.get_array(), -0.5)
    assert left.get_clim() == middle.get_clim() == (images.min(), images.max())
    assert right.get_clim() == pytest.approx((-0.5, 0.5))
    assert picture.get_suptitle() == "hidden (5, 64)"
    assert "largest difference 0.5" in picture.alt


@pytest.mark.parametrize(("shape", "rows"), [((6,), (1, 6)), ((2, 3, 4), (6, 4)), ((), (1, 1))])
def test_activations_of_any_number_of_axes(shape, rows):
    picture = compare_activations(np.ones(shape), np.ones(shape), "z")
    assert shown(picture.axes[0]).get_array().shape == rows


# --- histograms


def drawn_shares(axes):
    bars, outline = (patch.get_data() for patch in axes.patches)
    return bars, outline


def test_histograms_of_equal_spread_lie_on_each_other():
    many = np.random.default_rng(2).uniform(-0.5, 0.5, 200_000)
    quantiles = np.quantile(many, np.linspace(0, 1, 257))
    for original in (quantiles, many[:50_000]):
        bars, outline = drawn_shares(compare_histograms({"w": many}, {"w": original}).axes[0])
        np.testing.assert_array_equal(bars.edges, outline.edges)
        np.testing.assert_allclose(bars.values, outline.values, atol=5e-3)
        assert outline.values.sum() == pytest.approx(1)


def test_histograms_of_unequal_spread_differ():
    normal = np.random.default_rng(2).normal(size=5000)
    bars, outline = drawn_shares(
        compare_histograms({"w": normal}, {"w": np.linspace(-0.5, 0.5, 257)}).axes[0]
    )
    assert np.abs(bars.values - outline.values).max() > 0.1
    assert bars.edges[0] == normal.min()
    zeros, outline = drawn_shares(
        compare_histograms({"b": np.zeros(32)}, {"b": np.linspace(-0.5, 0.5, 257)}).axes[0]
    )
    assert zeros.values.max() == 1
    assert outline.values.max() < 0.3


def test_histograms_name_every_parameter_and_its_number_of_values():
    ours = {name: np.full(np.shape(value), 0.1) for name, value in PARAMS.items()}
    ours["enc_code.bias"][:2] = np.nan
    picture = compare_histograms(ours, {name: np.linspace(-1, 1, 9) for name in PARAMS})
    titles = [axes.get_title() for axes in picture.axes]
    assert titles[0] == "enc_hidden.weight\n2048 values"
    assert "enc_code.bias\n8 values, 2 not finite" in titles
    assert "dec_pixels.bias: ours 0.1 to 0.1, the original's -1 to 1" in picture.alt


def test_a_parameter_the_original_lacks_is_named():
    with pytest.raises(ValueError, match="no 'wieght': it has weight"):
        compare_histograms({"wieght": np.ones(3)}, {"weight": np.ones(3)})


def test_constants_have_a_histogram():
    bars, outline = drawn_shares(compare_histograms({"b": np.ones(3)}, {"b": np.ones(9)}).axes[0])
    assert bars.values.sum() == outline.values.sum() == 1


# --- losses


def curves(picture):
    return {line.get_label(): line.get_xydata() for line in picture.axes[0].lines}


def test_the_nearest_of_each_sentence_is_marked_and_itself_is_blank():
    vectors = np.array([[1, 0, 0], [0.6, 0.8, 0], [0, 0.8, 0.6], [0, 0, 1]])
    picture = pictures.compare_sentences(["one", "two", "three", "four"], vectors)
    axes, _ = picture.axes
    marked = axes.collections[0].get_offsets().tolist()
    assert marked == [[1, 0], [2, 1], [1, 2], [2, 3]]
    alike = np.ma.filled(axes.images[0].get_array(), np.nan)
    assert np.isnan(np.diag(alike)).all() and np.nanmax(alike) == pytest.approx(0.64)
    assert "closest two, 0.64: “two” and “three”" in picture.alt


@pytest.mark.parametrize("sentences", [["one"], ["one", "two", "three"]])
def test_a_vector_is_missing_for_a_sentence(sentences):
    with pytest.raises(ValueError, match="and 2 vectors, expected two sentences or more"):
        pictures.compare_sentences(sentences, np.eye(2))


def test_both_curves_are_drawn_and_equal_ones_can_be_told_apart():
    losses = np.array([0.3, 0.2, 0.15])
    picture = loss_curve(losses, losses)
    seen = curves(picture)
    np.testing.assert_array_equal(seen["ours"], [(1, 0.3), (2, 0.2), (3, 0.15)])
    np.testing.assert_array_equal(seen["ours"], seen["original"])
    ours, original = picture.axes[0].lines
    assert ours.get_linewidth() > original.get_linewidth()
    assert original.is_dashed()
    assert not ours.is_dashed()
    assert [t.get_text() for t in picture.axes[0].get_legend().get_texts()] == ["ours", "original"]


@pytest.mark.parametrize(
    ("losses", "scale"),
    [([0.3, 0.01], "log"), ([0.3, 0.2], "linear"), ([0.3, 0.0], "linear"), ([3, -1], "linear")],
)
def test_scale_is_logarithmic_where_that_can_be_read(losses, scale):
    assert loss_curve(losses).axes[0].get_yscale() == scale


def test_loss_curve_in_words():
    assert loss_curve([0.25, 0.125], [0.5], ("mine", "theirs")).alt == (
        "Loss curve. mine: 0.25 at first, 0.125 after 2 steps. "
        "theirs: 0.5 at first, 0.5 after 1 steps."
    )
    assert "not finite from step 2 on" in loss_curve([0.25, np.nan]).alt
    assert loss_curve([]).alt == "Loss curve. ours: no step yet."


class Clock:
    now = 0.0

    def monotonic(self):
        return self.now


@pytest.fixture
def notebook(monkeypatch):
    """Stand in for the notebook: what is displayed, and what replaces it."""
    import IPython
    import IPython.display

    shown, clock = [], Clock()

    class Handle:
        def update(self, data, **_):
            shown.append(("update", data, clock.now))

    def display(data, display_id=None, **_):
        assert display_id
        shown.append(("display", data, clock.now))
        return Handle()

    monkeypatch.setattr(IPython, "get_ipython", object)
    monkeypatch.setattr(IPython.display, "display", display)
    monkeypatch.setattr(pictures, "time", clock)
    return shown, clock


def test_live_curve_redraws_one_display_five_times_a_second_and_ends_with_the_last(
    notebook, capsys
):
    shown, clock = notebook
    live = LiveLossCurve(600, original=[1.0, 0.9])
    losses = []
    for step in range(600):
        losses.append(1 / (1 + step))
        clock.now = step * 0.001
        live(losses)
    assert [kind for kind, *_ in shown] == ["display", "update", "update", "update"]
    assert [when for *_, when in shown] == pytest.approx([0, 0.2, 0.4, 0.599])
    assert len({data["text/plain"] for _, data, _ in shown}) == 1  # nbval compares the first
    assert capsys.readouterr().out == "step 600 of 600, loss 0.00167\n"
    picture = live.picture()
    assert len(curves(picture)["ours"]) == 600
    assert picture.axes[0].get_title("left") == "step 600 of 600, loss 0.00167"
    assert picture.axes[0].get_xlim() == (0, 601)


def test_live_curve_without_a_notebook_prints_lines(capsys):
    live = LiveLossCurve(2)
    live([0.5])
    live([0.5, 0.25])
    assert capsys.readouterr().out == "step 1 of 2, loss 0.5\nstep 2 of 2, loss 0.25\n"


# --- shown once


CELL = """
import numpy as np
from reimpl_helpers.pictures import LiveLossCurve, loss_curve
{before}
loss_curve([0.3, 0.2], [0.3, 0.2])
"""


@pytest.mark.parametrize("before", ["", "import matplotlib.pyplot as plt"])
def test_a_picture_shows_once_with_its_words(before):
    live = "for n in range(1, 4):\n    live(np.ones(n))"
    cells = [
        nbformat.v4.new_code_cell(code)
        for code in (CELL.format(before=before), f"live = LiveLossCurve(3)\n{live}")
    ]
    book = nbformat.v4.new_notebook(cells=cells)
    where = {"metadata": {"path": str(Path(__file__).parents[1])}}
    NotebookClient(book, timeout=60, kernel_name="python3", resources=where).execute()
    (output,) = book.cells[0].outputs
    assert output.data["image/png"]
    assert output.data["text/plain"].startswith("Loss curve. ours: 0.3 at first")
    assert output.metadata["image/png"]["width"] == 900
    drawn, line = book.cells[1].outputs
    assert drawn.data["image/png"]
    assert line.text == "step 3 of 3, loss 1\n"
