"""The interactive figures: their arithmetic is the reference's, and every reader can use them."""

import json
import shutil

import numpy as np
import pages
import pytest
from conftest import build_site
from hypothesis import given, settings
from hypothesis import strategies as st
from ml_dtypes import int2, int4, uint2, uint4
from playwright.sync_api import expect, sync_playwright
from py_mini_racer import JSEvalException, MiniRacer
from test_browser import NO_OTHER_HOST, OVERFLOW, faults, find_chromium, served
from test_site import CELLS, FACTS, SVG

import records
from handbook import reference

SCRIPT = (records.ROOT / "docs/assets/explorers.js").read_text("utf-8")
DTYPES = {2: (uint2, int2), 4: (uint4, int4), 8: (np.uint8, np.int8)}  # by bits and signed
EVALUATE = """function evaluate(low, high, bits, options, values) {
    const parameters = quantizationParameters(low, high, bits, options);
    const q = values.map((x) => quantize(x, parameters));
    return { ...parameters, q, dequantized: q.map((q) => dequantize(q, parameters)) };
}
const rounded = (values) => values.map(round);"""

ASYMMETRIC = (False, False, False)  # symmetric, signed, restricted
CASES = settings(max_examples=1000, deadline=None, database=None, derandomize=True)
FEW = settings(CASES, max_examples=50)
ENDS = st.one_of(st.floats(-8, 8, width=32), st.floats(-(2.0**100), 2.0**100, width=32))
STEPS = st.one_of(st.integers(-600, 600).map(lambda n: n / 2), st.floats(-300, 300, width=32))


def evaluator(source: str = SCRIPT) -> MiniRacer:
    """An engine that knows the functions of explorers.js."""
    engine = MiniRacer()
    engine.eval(source.replace("\nexport ", "\n") + EVALUATE)
    return engine


@pytest.fixture(scope="module")
def engine():
    with evaluator() as engine:
        yield engine


# Arithmetic


def parameters_of_any_width(low, high, bits, symmetric, signed, restricted):
    """`reference.quantization_parameters`, for 2 to 8 bits and also without a restricted range."""
    quant_min = -(2 ** (bits - 1)) if signed else 0
    quant_max = quant_min + 2**bits - 1
    quant_min += symmetric and restricted
    low, high = np.minimum(low, np.float32(0)), np.maximum(high, np.float32(0))
    if symmetric:
        high = np.maximum(-low, high)
        low = -high
    scale = (high - low) / np.float32(quant_max - quant_min) or np.float32(1)
    zero_point = np.rint(np.float32(quant_min) - low / scale)
    if symmetric:
        zero_point = (quant_min + quant_max + 1) // 2
    return scale, int(np.clip(zero_point, quant_min, quant_max)), quant_min, quant_max


def compare(engine, low, high, bits, choices, steps):
    """Fail unless explorers.js computes what NumPy does, and the reference, to the last bit."""
    symmetric, signed, restricted = choices
    low, high = np.float32(low), np.float32(high)
    scale, zero_point, quant_min, quant_max = parameters_of_any_width(low, high, bits, *choices)
    x = (np.float32(steps) * scale).astype(np.float32)
    q = np.clip(np.rint(x / scale).astype(float) + zero_point, quant_min, quant_max)
    dequantized = np.float32(q - zero_point) * scale

    options = {"symmetric": symmetric, "signed": signed, "restricted": restricted}
    found = engine.call("evaluate", float(low), float(high), bits, options, x.tolist())
    assert float(found["scale"]) == float(scale)  # not as float32, which a number would become
    limits = found["zeroPoint"], found["quantMin"], found["quantMax"]
    assert limits == (zero_point, quant_min, quant_max)
    assert found["q"] == q.tolist()
    found["dequantized"] = list(map(float, found["dequantized"]))  # JSON has 1e17 as an integer
    assert found["dequantized"] == dequantized.tolist()

    if bits in DTYPES and (restricted or not symmetric):  # the reference restricts the symmetric
        dtype = DTYPES[bits][signed]
        expected = reference.quantization_parameters(low, high, dtype, symmetric=symmetric)
        assert (scale, zero_point) == (expected[0], int(expected[1]))
        integers = reference.quantize_linear(x, *expected, dtype).clip(quant_min, quant_max)
        assert found["q"] == integers.astype(int).tolist()
        restored = reference.dequantize_linear(integers.astype(dtype), *expected)
        assert found["dequantized"] == restored.tolist()


@CASES
@given(
    low=ENDS,
    high=ENDS,
    bits=st.integers(2, 8),
    choices=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    steps=st.lists(STEPS, min_size=1, max_size=8),
)
def test_quantizes_as_the_reference(engine, low, high, bits, choices, steps):
    compare(engine, low, high, bits, choices, steps)


@pytest.mark.parametrize(
    ("right", "wrong", "case"),
    [
        ("rest === 0.5 && below % 2 !== 0", "rest === 0.5", (-0.5, 14.5, 4, ASYMMETRIC, [0])),
        ("rest === 0.5 && below % 2 !== 0", "rest === 0.5", (0, 15, 4, ASYMMETRIC, [2.5])),
        ("const f32 = Math.fround", "const f32 = (x) => x", (0, 6, 4, ASYMMETRIC, [0])),
        ("f32(f32(x) / scale)", "f32(x * f32(1 / scale))", (0, 3, 8, ASYMMETRIC, [6.5])),
        ("if (symmetric && restricted) quantMin += 1", "", (-1, 1, 8, (True, True, True), [0])),
        ("low = Math.min(f32(low), 0)", "low = f32(low)", (1, 3, 8, ASYMMETRIC, [0])),
    ],
)
def test_catches_wrong_arithmetic(engine, right, wrong, case):
    assert right in SCRIPT
    compare(engine, *case)
    with evaluator(SCRIPT.replace(right, wrong)) as faulty, pytest.raises(AssertionError):
        compare(faulty, *case)


HALVES = st.integers(-(10**6), 10**6).map(lambda n: n + 0.5)


@FEW
@given(values=st.lists(st.one_of(st.floats(-1e9, 1e9), HALVES), min_size=10))
def test_rounds_half_to_even(engine, values):
    assert engine.call("rounded", values) == np.rint(values).tolist()


@pytest.mark.parametrize("ends", [(-3e38, 3e38), (0, 1e39), (None, 1)])
def test_rejects_a_range_without_a_scale(engine, ends):
    low, high = ("NaN" if end is None else end for end in ends)
    with pytest.raises(JSEvalException, match="no float32 scale"):
        engine.eval(f"quantizationParameters({low}, {high}, 8)")


@FEW
@given(
    low=st.floats(-5, 0), width=st.floats(0.1, 9), bits=st.integers(2, 6), symmetric=st.booleans()
)
def test_errors_of_uniform_values(engine, low, width, bits, symmetric):
    """The largest error and the SQNR, against those of many values."""
    high = low + width
    engine.eval(f"p = quantizationParameters({low}, {high}, {bits}, {{symmetric: {+symmetric}}})")
    found = engine.eval(f"JSON.stringify(uniformErrors({low}, {high}, p))")
    found, p = json.loads(found), json.loads(engine.eval("JSON.stringify(p)"))
    x = np.linspace(low, high, 200_001)
    q = np.clip(np.rint(x / p["scale"]) + p["zeroPoint"], p["quantMin"], p["quantMax"])
    error = (q - p["zeroPoint"]) * p["scale"] - x
    assert found["largest"] == pytest.approx(np.abs(error).max(), rel=1e-3)
    sqnr = 10 * np.log10(np.square(x).mean() / np.square(error).mean())
    assert found["sqnr"] == pytest.approx(sqnr, abs=0.01)


@st.composite
def histograms(draw) -> dict:
    counts = draw(st.lists(st.integers(0, 1000), min_size=1, max_size=12).filter(sum))
    width = draw(st.floats(0.01, 3))
    edges = [index * width for index in range(len(counts) + 1)]
    return {"edges": edges, "counts": counts, "zeros": draw(st.integers(0, 1000))}


@FEW
@given(histogram=histograms(), share=st.floats(0.05, 1), bits=st.integers(2, 8))
def test_clipping_errors(engine, histogram, share, bits):
    """Mean squared errors against those of many values, spread evenly in each bin."""
    threshold = share * histogram["edges"][-1]
    found = engine.call("clippingErrors", histogram, threshold, bits)
    step = threshold / (2**bits - 1)
    edges, samples = np.array(histogram["edges"]), (np.arange(20_000) + 0.5) / 20_000
    x = edges[:-1, None] + np.diff(edges)[:, None] * samples
    restored = np.clip(np.rint(x / step), 0, 2**bits - 1) * step
    weights = np.array(histogram["counts"]) / (sum(histogram["counts"]) + histogram["zeros"])
    rounding = weights @ np.where(x <= threshold, np.square(restored - x), 0).mean(axis=1)
    clipping = weights @ np.where(x > threshold, np.square(threshold - x), 0).mean(axis=1)
    assert found["step"] == pytest.approx(step)
    assert found["rounding"] == pytest.approx(rounding, rel=2e-3, abs=1e-12)
    assert found["clipping"] == pytest.approx(clipping, rel=2e-3, abs=1e-12)
    assert found["sum"] == found["rounding"] + found["clipping"]
    assert found["clipped"] == pytest.approx(weights @ (x > threshold).mean(axis=1), abs=1e-4)


def test_optimum_is_the_smallest_sum(engine):
    histogram = {"edges": [0, 1, 2, 3, 4], "counts": [900, 80, 15, 5], "zeros": 500}
    curve = engine.call("clippingCurve", histogram, 3)
    sums = [point["sum"] for point in curve["points"]]
    assert len(sums) == 256 and curve["best"] == np.argmin(sums)
    assert curve["points"][-1]["threshold"] == 4 and curve["points"][-1]["clipping"] == 0
    assert curve["points"][curve["best"]] | {"threshold": 0} == engine.call(
        "clippingErrors", histogram, curve["points"][curve["best"]]["threshold"], 3
    ) | {"threshold": 0}


# In a page

TABLES = {
    "ranges": {"columns": ["tensor", "low", "high"], "rows": [["x </b>", -2.0, 5.5], ["y", 0, 6]]},
    "histogram": {
        "columns": ["upper edge", "count"],
        "rows": [[(n + 1) / 16, round(40_000 * 0.95**n)] for n in range(128)],
    },
}
PAGE = """---
scripts: [part/tiny.py]
---

# Page

Text.

<div class="explorer" data-explorer="affine" markdown>

{{ figure("plot", alt="A grid", caption="It is a grid.") }}

{{ data("ranges") }}

</div>

<div class="explorer" data-explorer="clipping" data-zeros="{{ number("ratio", ".0f") }}" markdown>

{{ figure("plot", alt="A curve", caption="It is a curve.") }}

{{ data("histogram") }}

</div>

<div class="explorer" data-explorer="clipping" markdown>

{{ figure("plot", alt="Static", caption="It has no data.") }}

</div>
"""


@pytest.fixture(scope="module")
def explorers(tmp_path_factory):
    """A site of one page that has both explorers."""
    folder = tmp_path_factory.mktemp("explorers")
    record = folder / "docs/records/part/tiny"
    record.mkdir(parents=True)
    facts = FACTS | {"script": "examples/part/tiny.py", "tables": TABLES}
    notebook = {"cells": CELLS, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    (record / "record.json").write_text(json.dumps(facts))
    (record / "notebook.ipynb").write_text(json.dumps(notebook))
    (record / "plot.svg").write_text(SVG)
    (folder / "docs/assets").symlink_to(records.ROOT / "docs/assets")
    (folder / "docs/index.md").write_text(PAGE)
    (folder / "examples/part").mkdir(parents=True)
    (folder / "examples/part/tiny.py").write_text("x = 1\n")
    return build_site(folder / "site", docs_dir=str(folder / "docs"), nav=["index.md"])


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=[NO_OTHER_HOST])
        yield browser
        browser.close()


@pytest.fixture
def page(browser, explorers):
    """The page with the explorers, on a phone."""
    with served(explorers) as root:
        page = browser.new_page(viewport={"width": 360, "height": 800}, has_touch=True)
        page.goto(root)
        yield page
        page.close()


def test_data_comes_from_the_record_and_stays_out_of_the_search(explorers, tmp_path):
    html = (explorers / "index.html").read_text("utf-8")
    assert r'"tensor": ["x \u003c/b>", "y"]' in html
    assert "upper edge" not in (explorers / "search/search_index.json").read_text("utf-8")
    with pytest.raises(pages.BuildError, match="no table 'range'; nearest: ranges"):
        docs = explorers.parent / "docs/records"
        pages.expand('{{ data("range") }}', "page.md", ["part/tiny.py"], docs)


def test_every_state_is_without_fault(browser, explorers):
    assert faults(browser, explorers) == []


@pytest.mark.parametrize(
    ("right", "wrong", "fault"),
    [
        ('html("label"', 'html("div"', "Form elements must have labels"),
        ('role: "img", "aria-label": name', 'role: "img"', "must have alternative text"),
        ("width = contentRect.width", "width = 0", "negative value"),
    ],
)
def test_catches(browser, explorers, tmp_path, right, wrong, fault):
    site = shutil.copytree(explorers, tmp_path / "site")
    shutil.rmtree(site / "examples")
    assert right in SCRIPT
    (site / "assets/explorers.js").write_text(SCRIPT.replace(right, wrong), "utf-8")
    found = faults(browser, site)
    assert any(fault in line for line in found), found


def test_without_javascript_the_figures_stay(browser, explorers):
    with (
        served(explorers) as root,
        browser.new_context(java_script_enabled=False) as context,
    ):
        page = context.new_page()
        page.goto(root)
        for name in ("A grid", "A curve", "Static"):
            expect(page.get_by_role("img", name=name)).to_be_visible()
        expect(page.locator(".explorer :is(input, select, button, output)")).to_have_count(0)


def test_mounts_once_and_only_with_data(page):
    expect(page.locator(".widget")).to_have_count(2)
    expect(page.get_by_role("img", name="A grid")).to_be_hidden()
    expect(page.get_by_role("img", name="Static")).to_be_visible()
    page.evaluate("import(new URL('assets/explorers.js?again', location).href)")
    expect(page.locator(".widget")).to_have_count(2)


def result(explorer, term: str):
    """What an explorer shows for a term."""
    row = explorer.locator("dl > div").filter(has=explorer.page.get_by_text(term, exact=True))
    return row.locator("b").inner_text().removeprefix("= ").replace("\u2212", "-")


def test_range_and_probe_by_keyboard(page):
    explorer = page.get_by_role("group", name="Scale and zero point")
    slider = explorer.get_by_label("Real value x")
    before = slider.input_value(), explorer.get_by_role("status").inner_text()
    slider.focus()
    page.keyboard.press("ArrowRight")
    assert slider.input_value() != before[0]
    assert explorer.get_by_role("status").inner_text() != before[1]
    assert float(slider.get_attribute("aria-valuetext")) == float(slider.input_value())

    explorer.get_by_label("Bits").focus()
    page.keyboard.press("End")
    for field, value in {"Lowest value": "-3.2", "Highest value": "9.1"}.items():
        explorer.get_by_label(field).fill(value)
    assert explorer.get_by_label("Range of").input_value() == "own"
    scale, zero_point = reference.quantization_parameters(-3.2, 9.1)
    assert result(explorer, "scale") == f"{scale:.4g}"
    assert result(explorer, "zero_point") == str(zero_point)
    x = np.float32(slider.input_value())
    q = reference.quantize_linear(x, scale, zero_point)
    assert result(explorer, "q") == str(q)
    assert result(explorer, "dequantized") == (
        f"{reference.dequantize_linear(q, scale, zero_point):.4g}"
    )

    restricted = explorer.get_by_label("Restricted")
    expect(restricted).to_be_disabled()
    explorer.get_by_label("Scheme").select_option("symmetric")
    explorer.get_by_label("Integers").select_option("signed")
    restricted.check()
    scale, _ = reference.quantization_parameters(-3.2, 9.1, np.int8, symmetric=True)
    assert (result(explorer, "scale"), result(explorer, "zero_point")) == (f"{scale:.4g}", "0")


@pytest.mark.parametrize("value", ["", "6", "1e9"])
def test_says_what_a_range_needs(page, value):
    explorer = page.get_by_role("group", name="Scale and zero point")
    explorer.get_by_label("Lowest value").fill(value)
    expect(explorer.get_by_role("status")).to_contain_text("A range needs two numbers")
    explorer.get_by_label("Lowest value").fill("-1")
    expect(explorer.get_by_role("status")).to_contain_text("comes back as")


def test_clipping_by_keyboard(page, engine):
    explorer = page.get_by_role("group", name="Where to clip")
    status = explorer.get_by_role("status")
    slider = explorer.get_by_label("Threshold")
    expect(status).to_contain_text("Clipped at 8, the mean squared error is")
    slider.focus()
    page.keyboard.press("Home")  # a threshold of 0 would have no step
    expect(status).to_contain_text("Clipped at 0.0313,")
    explorer.get_by_role("button", name="Go to the optimum").focus()
    page.keyboard.press("Enter")
    expect(status).to_contain_text("the smallest there is")

    edges, counts = zip(*TABLES["histogram"]["rows"], strict=True)
    histogram = {"edges": [0, *edges], "counts": counts, "zeros": 3}
    curve = engine.call("clippingCurve", histogram, 4)
    optimum = curve["points"][curve["best"]]
    assert result(explorer, "sum") == f"{optimum['sum']:.3g}"
    assert result(explorer, "optimum").startswith(f"{optimum['threshold']:.3g},")


def test_a_pointer_on_the_picture_moves_the_slider(page):
    explorer = page.get_by_role("group", name="Where to clip")
    picture = explorer.get_by_role("img", name="Where to clip")
    width = picture.bounding_box()["width"]
    picture.click(position={"x": (46 + width - 14) / 2, "y": 100})
    assert explorer.get_by_label("Threshold").input_value() == "128"


def test_an_end_of_the_range_can_be_dragged(page):
    explorer = page.get_by_role("group", name="Scale and zero point")
    slider, highest = explorer.get_by_label("Real value x"), explorer.get_by_label("Highest value")
    x, high, axis = slider.input_value(), highest.input_value(), slider.get_attribute("max")
    explorer.locator("circle.handle").last.scroll_into_view_if_needed()
    handle = explorer.locator("circle.handle").last.bounding_box()
    place = handle["x"] + handle["width"] / 2, handle["y"] + handle["height"] / 2
    page.mouse.move(*place)
    page.mouse.down()
    page.mouse.move(place[0] - 30, place[1])
    dragged = float(highest.input_value())
    assert dragged < float(high)
    assert slider.get_attribute("max") == axis  # the axis stays under the pointer
    page.mouse.up()
    assert float(slider.get_attribute("max")) < float(axis)  # and then fits the range again
    assert (float(highest.input_value()), slider.input_value()) == (dragged, x)
    assert explorer.get_by_label("Range of").input_value() == "own"


def test_controls_are_large_enough_to_touch(page):
    controls = page.locator(".explorer :is(input, select, button)")
    assert controls.count() == 11
    for box in (control.bounding_box() for control in controls.all()):
        assert box["width"] >= 24 and box["height"] >= 24
    assert page.evaluate(OVERFLOW) == 0
