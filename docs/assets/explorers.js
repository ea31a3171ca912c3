// Figures to explore: the grid that a scale and a zero point make, and where to clip a histogram.
//
// <div class="explorer" data-explorer="affine" markdown> holds a static figure and, by
// {{ data("table") }}, recorded numbers as JSON. Where this module runs, it replaces the figure.
//
// First the arithmetic, float32 as in examples/handbook/reference.py, then what draws.
// tests/test_explorers.py compares the two to the last bit, and works the controls in a browser.

const f32 = Math.fround;
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

/** The nearest integer; of two, the even one (Math.round takes the upper one). */
export function round(x) {
  const below = Math.floor(x);
  const rest = x - below;
  return below + (rest > 0.5 || (rest === 0.5 && below % 2 !== 0) ? 1 : 0);
}

/** Scale and zero point for real values from `low` to `high`, which are widened to hold 0. */
export function quantizationParameters(low, high, bits, options = {}) {
  const { symmetric = false, signed = false, restricted = false } = options;
  let quantMin = signed ? -(2 ** (bits - 1)) : 0;
  const quantMax = quantMin + 2 ** bits - 1;
  if (symmetric && restricted) quantMin += 1;
  low = Math.min(f32(low), 0);
  high = Math.max(f32(high), 0);
  if (symmetric) [low, high] = [-Math.max(-low, high), Math.max(-low, high)];
  const scale = f32(f32(high - low) / (quantMax - quantMin));
  if (!Number.isFinite(scale)) throw new RangeError("the range has no float32 scale");
  const zeroPoint = symmetric
    ? Math.floor((quantMin + quantMax + 1) / 2)
    : clamp(round(f32(quantMin - f32(low / (scale || 1)))), quantMin, quantMax);
  return { low, high, quantMin, quantMax, scale: scale || 1, zeroPoint };
}

export function quantize(x, { scale, zeroPoint, quantMin, quantMax }) {
  return clamp(round(f32(f32(x) / scale)) + zeroPoint, quantMin, quantMax);
}

export function dequantize(q, { scale, zeroPoint }) {
  return f32((q - zeroPoint) * scale);
}

/** The largest error and the SQNR in dB of values spread evenly from `low` to `high`. */
export function uniformErrors(low, high, parameters) {
  const { quantMin, quantMax, scale } = parameters;
  let [largest, noise] = [0, 0];
  for (let q = quantMin; q <= quantMax; q++) {
    const value = dequantize(q, parameters);
    const from = q === quantMin ? low : clamp(value - scale / 2, low, high);
    const to = q === quantMax ? high : clamp(value + scale / 2, low, high);
    if (from >= to) continue; // no value of the range becomes q
    largest = Math.max(largest, Math.abs(from - value), Math.abs(to - value));
    noise += ((to - value) ** 3 - (from - value) ** 3) / 3;
  }
  return { largest, sqnr: 10 * Math.log10((high ** 3 - low ** 3) / 3 / noise) };
}

/**
 * Mean squared errors of unsigned quantization from 0 to `threshold`, and the share that is clipped.
 *
 * A histogram has `edges`, from 0, one more than its `counts`, and `zeros`, values of exactly 0. Values
 * are spread evenly in their bin, so the errors are integrals: no sampling, whatever step and bin.
 */
export function clippingErrors({ edges, counts, zeros = 0 }, threshold, bits) {
  const step = threshold / (2 ** bits - 1);
  const roundingUpTo = (value) => {
    const whole = round(value / step);
    return (whole * step ** 3) / 12 + (value - whole * step) ** 3 / 3;
  };
  let [rounding, clipping, clipped, total] = [0, 0, 0, zeros];
  counts.forEach((count, bin) => {
    const [from, to] = [edges[bin], edges[bin + 1]];
    const density = count / (to - from);
    const inside = roundingUpTo(Math.min(to, threshold)) - roundingUpTo(Math.min(from, threshold));
    const [near, far] = [Math.max(from - threshold, 0), Math.max(to - threshold, 0)];
    rounding += density * inside;
    clipping += (density * (far ** 3 - near ** 3)) / 3;
    clipped += density * (far - near);
    total += count;
  });
  [rounding, clipping, clipped] = [rounding / total, clipping / total, clipped / total];
  return { step, rounding, clipping, clipped, sum: rounding + clipping };
}

/** The errors at `steps` thresholds up to the largest value, and the index of the smallest sum. */
export function clippingCurve(histogram, bits, steps = 256) {
  const largest = histogram.edges.at(-1);
  const points = Array.from({ length: steps }, (_, index) => {
    const threshold = (largest * (index + 1)) / steps;
    return { threshold, ...clippingErrors(histogram, threshold, bits) };
  });
  const best = points.reduce((best, { sum }, at) => (sum < points[best].sum ? at : best), 0);
  return { points, best };
}

// Drawing: a picture is an SVG as wide as its column, so that its text keeps its size on a phone

const [LEFT, RIGHT] = [46, 14]; // margins of a picture; styles.css gives them to the slider below it

const linear = (a, b, from, to) => (value) => from + ((value - a) / (b - a)) * (to - from);

/** A number as a reader wants it: few digits, and a minus sign. */
const text = (x, digits = 4) => String(Number(x.toPrecision(digits))).replaceAll("-", "−");

/** A row below the picture: a term, its formula, the formula with the numbers of `known`, the result. */
function row(term, formula, result, style = "", known = {}) {
  const filled = formula.replace(/([−+×/] )?([a-z_]+)/g, (found, operator = "", name) => {
    if (!(name in known)) return found;
    return operator + (operator && known[name] < 0 ? `(${text(known[name])})` : text(known[name]));
  });
  const end =
    filled === formula ? [html("b", {}, result)] : [`${filled} `, html("b", {}, `= ${result}`)];
  const lines = [html("dd", {}, formula), html("dd", {}, ...end)];
  return html("div", { class: style }, html("dt", {}, term), ...lines);
}

/** The smallest of the steps ... 1, 2, 5, 10, 20 ... of which `width` holds at most `count`. */
function roundStep(width, count) {
  const power = 10 ** Math.floor(Math.log10(width / count));
  return [1, 2, 5, 10].find((factor) => factor * power * count >= width * 0.9999) * power;
}

function ticks(low, high, count) {
  const step = roundStep(high - low, count);
  const [first, last] = [Math.ceil(low / step - 1e-6), Math.floor(high / step + 1e-6)];
  return Array.from({ length: last - first + 1 }, (_, index) => (first + index) * step);
}

function build(namespace, tag, attributes, children) {
  const made = document.createElementNS(`http://www.w3.org/${namespace}`, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}
const html = (tag, attributes = {}, ...children) => build("1999/xhtml", tag, attributes, children);
const svg = (tag, attributes = {}, ...children) => build("2000/svg", tag, attributes, children);
const path = (style, ...parts) => svg("path", { class: style, d: parts.join("") });
const dot = (style, cx, cy) => svg("circle", { class: style, cx, cy, r: 5 });
const label = (x, y, anchor, ...words) => svg("text", { x, y, "text-anchor": anchor }, ...words);

/** A part of the picture, in the picture's coordinates; what reaches beyond it is hidden. */
function pane(left, right, [top, bottom], ...children) {
  const [width, height] = [right - left, bottom - top];
  const viewBox = [left, top, width, height].join(" ");
  return svg("svg", { x: left, y: top, width, height, viewBox }, ...(width > 0 ? children : []));
}

/** A panel's title, its grid, and the labels on its left. */
const panel = (title, right, [top, bottom], columns, rows) => [
  label(LEFT, top - 8, "start", title),
  path("grid", ...columns.map((x) => `M${x},${top}V${bottom}`)),
  path("grid", ...rows.map(({ y }) => `M${LEFT},${y}H${right}`)),
  ...rows.map(({ y, words }) => label(LEFT - 6, y + 4, "end", ...words)),
];

/** A labelled input; `options` of a select map its values to their texts. */
function field(name, type, attributes = {}, options = {}) {
  const choices = Object.entries(options).map(([value, words]) => html("option", { value }, words));
  const select = type === "select";
  const input = html(select ? type : "input", select ? {} : { type, ...attributes }, ...choices);
  const shown = html("b", { "aria-hidden": "true" }); // the value of a slider
  const parts = [html("span", {}, name, shown), input];
  if (type === "checkbox") parts.reverse();
  const show = (words) => {
    shown.textContent = words;
    input.setAttribute("aria-valuetext", words);
  };
  return { input, show, box: html("label", { class: `field field-${type}` }, ...parts) };
}

/** Put controls and picture in the place of the figure; redraw on input and on another width. */
function mount(root, { name, controls, slider, draw, grab }) {
  const picture = svg("svg", { role: "img", "aria-label": name });
  const [status, formulas] = [html("output"), html("dl")];
  const widget = html("div", { class: "widget", role: "group", "aria-label": name });
  widget.append(html("div", { class: "controls" }, ...controls), picture);
  widget.append(slider.box, status, formulas);
  slider.box.classList.add("below-picture");
  root.querySelector("figure").hidden = true;
  root.append(widget);
  let width = 0;
  let held; // the input that the pointer moves

  function redraw() {
    const { said, height, drawing, rows } = draw(width, held);
    status.textContent = said;
    if (!drawing) return;
    picture.setAttribute("height", height);
    picture.replaceChildren(...drawing.flat());
    formulas.replaceChildren(...rows);
  }
  function follow(event) {
    const at = event.clientX - picture.getBoundingClientRect().left;
    if (event.type === "pointerdown") {
      picture.setPointerCapture(event.pointerId);
      held = grab?.(at) ?? slider.input;
    }
    if (!event.buttons || !held) return;
    const { min, max } = slider.input;
    held.value = linear(LEFT, width - RIGHT, Number(min), Number(max))(at).toPrecision(4);
    held.dispatchEvent(new Event("input", { bubbles: true }));
  }
  function release() {
    held = undefined;
    redraw();
  }
  widget.addEventListener("input", redraw);
  widget.addEventListener("click", ({ target }) => target.type === "button" && redraw());
  picture.addEventListener("pointerdown", follow);
  picture.addEventListener("pointermove", follow);
  picture.addEventListener("lostpointercapture", release);
  new ResizeObserver(([{ contentRect }]) => {
    if (!contentRect.width || contentRect.width === width) return; // 0: hidden, or not yet laid out
    width = contentRect.width;
    redraw();
  }).observe(picture);
}

/** The grid of a range: number line, staircase and error. `ranges` has tensors, their low and high. */
function affine(root, ranges) {
  const tensor = field("Range of", "select", {}, { ...ranges.tensor, own: "your own numbers" });
  const [low, high] = ["Lowest value", "Highest value"].map((name) =>
    field(name, "number", { step: "any", min: -1000, max: 1000, required: "" }),
  );
  const bits = field("Bits", "range", { min: 2, max: 8, value: 4 });
  const scheme = field("Scheme", "select", {}, { "": "asymmetric", symmetric: "symmetric" });
  const integers = field("Integers", "select", {}, { "": "unsigned", signed: "signed" });
  const restricted = field("Restricted: lowest integer unused", "checkbox");
  const slider = field("Real value x", "range");
  const controls = [tensor, low, high, bits, scheme, integers, restricted].map(({ box }) => box);
  let start; // where x is to be, once its slider has its ends

  function choose() {
    const chosen = tensor.input.value;
    if (chosen === "own") return;
    [low.input.value, high.input.value] = [ranges.low[chosen], ranges.high[chosen]];
    start = 0.62 * ranges.high[chosen];
  }
  choose();
  tensor.input.addEventListener("input", choose);
  for (const { input } of [low, high]) {
    input.addEventListener("input", ({ isTrusted }) => {
      tensor.input.value = "own";
      if (isTrusted) start = 0.62 * high.input.valueAsNumber; // typed, not dragged
    });
  }
  let ends = []; // of the range: the input of each, and where it was drawn
  const grab = (at) => ends.find(([, place]) => Math.abs(place - at) < 14)?.[0];

  function draw(width, held) {
    const [lowest, highest] = [low.input.valueAsNumber, high.input.valueAsNumber];
    if (!low.input.validity.valid || !high.input.validity.valid || highest - lowest < 0.01) {
      return {
        said: "A range needs two numbers from −1000 to 1000, the lowest below the highest.",
      };
    }
    const [symmetric, signed] = [scheme.input.value !== "", integers.input.value !== ""];
    restricted.input.disabled = !symmetric;
    bits.show(bits.input.value);
    const options = { symmetric, signed, restricted: restricted.input.checked };
    const p = quantizationParameters(lowest, highest, bits.input.valueAsNumber, options);
    const { scale, zeroPoint, quantMin, quantMax } = p;
    const grid = [];
    for (let q = quantMin; q <= quantMax; q++) grid.push({ q, value: dequantize(q, p) });

    // The axis reaches beyond range and grid, in round steps of the slider.
    const [first, last] = [grid[0].value, grid.at(-1).value];
    const [from, to] = [Math.min(lowest, first), Math.max(highest, last)];
    const step = roundStep(to - from, 200);
    let min = Math.floor((from - 0.1 * (to - from)) / step) * step;
    let max = Math.ceil((to + 0.1 * (to - from)) / step) * step;
    if (held === low.input || held === high.input) {
      [min, max] = [Number(slider.input.min), Number(slider.input.max)]; // it stays while we drag
    } else {
      for (const [name, value] of Object.entries({ min, max, step })) {
        slider.input[name] = value.toPrecision(9);
      }
    }
    if (start !== undefined) [slider.input.value, start] = [start, undefined];
    const x = slider.input.valueAsNumber;
    const q = quantize(x, p);
    const kept = dequantize(q, p);
    const error = kept - x;
    slider.show(text(x));

    const [right, line, stairs] = [width - RIGHT, 46, [88, 88 + clamp(0.28 * width, 140, 210)]];
    const errors = [stairs[1] + 40, stairs[1] + 116];
    const at = linear(min, max, LEFT, right);
    const back = linear(min, max, stairs[1], stairs[0]);
    const off = linear(-1.2 * scale, 1.2 * scale, errors[1], errors[0]);
    const values = ticks(min, max, (right - LEFT) / 50);
    const treads = grid.map(({ value }, index) => ({
      value,
      begin: index ? (value + grid[index - 1].value) / 2 : min,
      end: index < grid.length - 1 ? (value + grid[index + 1].value) / 2 : max,
    }));
    const stairway = treads.map(({ value, end }) => `V${back(value)}H${at(end)}`);
    const sawtooth = treads.flatMap(({ value, begin, end }) => [
      [at(begin), off(value - begin)],
      [at(end), off(value - end)],
    ]);
    const room = 8 + 8 * Math.max(text(quantMin).length, text(quantMax).length);
    const names = new Map(); // of integers with room for a label: zero point and ends first
    for (const { q, value } of [grid[zeroPoint - quantMin], grid[0], grid.at(-1), ...grid]) {
      if ([...names.keys()].some((place) => Math.abs(place - at(value)) < room)) continue;
      const name = svg("tspan", q === zeroPoint ? { class: "strong" } : {}, text(q));
      names.set(at(value), label(at(value), line - 12, "middle", name));
    }
    const half = [-0.5, 0, 0.5].map((steps) => ({ y: off(steps * scale), words: [text(steps)] }));
    const levels = ticks(min, max, 5).map((value) => ({ y: back(value), words: [text(value)] }));
    ends = [
      [low.input, at(lowest)],
      [high.input, at(highest)],
    ];
    const shade = { x: at(lowest), width: at(highest) - at(lowest), y: 20, height: errors[1] - 20 };
    const drawing = [
      svg("rect", { class: "range", ...shade }),
      label(LEFT, 12, "start", "integers on the line of real values"),
      path("axis", `M${LEFT},${line}H${right}`),
      path("stroke-1", ...grid.map(({ value }) => `M${at(value)},${line - 7}v14`)),
      path("stroke-1 thick", `M${at(0)},${line - 9}v18`),
      [...names.values()],
      panel("real value that comes back", right, stairs, values.map(at), levels),
      path("axis dashed", `M${LEFT},${back(min)}L${right},${back(max)}`),
      path("stroke-1 thick", `M${LEFT},${back(first)}`, ...stairway),
      panel("error, in steps", right, errors, values.map(at), half),
      pane(LEFT, right, errors, path("stroke-1 thick", "M", sawtooth.join("L"))),
      values.map((value) => label(at(value), errors[1] + 16, "middle", text(value))),
      path("stroke-2", `M${at(x)},${line}V${errors[1]}`),
      path("stroke-2 thick", `M${at(x)},${line}H${at(kept)}`),
      ends.map(([, place]) => path("handle", `M${place},20V${errors[1]}`)),
      ends.map(([, place]) => dot("handle", place, errors[1])),
      dot("fill-2 hollow", at(x), line),
      dot("fill-2", at(kept), line),
      dot("fill-2", at(x), back(kept)),
      dot("fill-2", at(x), off(clamp(error, -1.2 * scale, 1.2 * scale))),
    ];

    const known = { lowest, highest, low: p.low, high: p.high, scale, x, q, dequantized: kept };
    Object.assign(known, { quant_min: quantMin, quant_max: quantMax, zero_point: zeroPoint });
    const widened = symmetric
      ? "−m, m with m = max(|lowest|, |highest|)"
      : "min(lowest, 0), max(highest, 0)";
    const middle = "(quant_min + quant_max + 1) / 2, rounded down";
    const zero = symmetric ? middle : "round(quant_min − low / scale)";
    const clamped = "clamp(round(x / scale) + zero_point, quant_min, quant_max)";
    const { largest, sqnr } = uniformErrors(lowest, highest, p);
    const worst = `${text(largest, 3)}, ${text(largest / scale, 3)} steps`;
    const used = quantize(highest, p) - quantize(lowest, p) + 1;
    const rows = [
      row("low, high", widened, `${text(p.low)}, ${text(p.high)}`, "", known),
      row("scale", "(high − low) / (quant_max − quant_min)", text(scale), "", known),
      row("zero_point", zero, text(zeroPoint), "", known),
      row("q", clamped, text(q), "mark-2", known),
      row("dequantized", "(q − zero_point) × scale", text(kept), "mark-2", known),
      row("error", "dequantized − x", text(error, 3), "mark-2", known),
      row("integers in use", "for the values in the range", `${used} of ${2 ** bits.input.value}`),
      row("largest error", "of the values in the range", worst),
      row("SQNR", "if all values in the range were equally frequent", `${sqnr.toFixed(1)} dB`),
    ];
    const saturates = round(f32(f32(x) / scale)) + zeroPoint !== q ? ", clamped," : "";
    const steps = text(Math.abs(error) / scale, 2);
    const said = `x = ${text(x)} becomes ${text(q)}${saturates} and comes back as ${text(kept)}: off by ${steps} steps.`;
    return { said, height: errors[1] + 22, drawing, rows };
  }
  mount(root, { name: "Scale and zero point", controls, slider, draw, grab });
}

/** Where to clip: rounding and clipping errors of a histogram against the threshold. */
function clipping(root, table) {
  const [edges, counts] = [[0, ...table["upper edge"]], table.count];
  const histogram = { edges, counts, zeros: Number(root.dataset.zeros ?? 0) };
  const bits = field("Bits", "range", { min: 2, max: 8, value: 4 });
  const slider = field("Threshold", "range", { min: 0, max: 256, value: 256 });
  const button = html("button", { type: "button" }, "Go to the optimum");
  const curves = {};
  const curveOf = (bits) => (curves[bits] ??= clippingCurve(histogram, bits));
  const fine = curveOf(8); // the axis is the same for all bits: from the least error to the largest
  const floor = Math.floor(Math.log10(fine.points[fine.best].sum / 2));
  const ceiling = Math.log10(1.5 * Math.max(...curveOf(2).points.map(({ sum }) => sum)));
  button.addEventListener("click", () => {
    slider.input.value = curveOf(bits.input.value).best + 1;
  });

  function draw(width) {
    const { points, best } = curveOf(bits.input.value);
    const chosen = Math.max(slider.input.valueAsNumber, 1) - 1; // a threshold of 0 has no step
    const { threshold, step, rounding, clipping, clipped, sum } = points[chosen];
    bits.show(bits.input.value);
    slider.show(text(threshold, 3));

    const [right, bars, errors] = [width - RIGHT, [20, 130], [176, 346]];
    const at = linear(0, edges.at(-1), LEFT, right);
    const tall = linear(0, Math.log10(Math.max(...counts) + 1), bars[1], bars[0]);
    const high = linear(floor, ceiling, errors[1], errors[0]);
    const outline = counts.map((count, bin) => {
      const [left, right] = [at(edges[bin]), at(edges[bin + 1])];
      return `M${left},${bars[1]}V${tall(Math.log10(count + 1))}H${right}V${bars[1]}`;
    });
    const place = (point, name) => [
      at(point.threshold),
      high(Math.log10(Math.max(point[name], 1e-30))),
    ];
    const drawn = (style, name) => path(style, "M", points.map((at) => place(at, name)).join("L"));
    const powers = ticks(floor, ceiling, 6)
      .filter(Number.isInteger)
      .map((power) => {
        const raised = svg("tspan", { dy: -5, class: "small" }, text(power));
        return { y: high(power), words: ["10", raised] };
      });
    const values = ticks(0, edges.at(-1), (right - LEFT) / 50);
    const grid = Array.from({ length: 2 ** bits.input.value }, (_, q) => at(q * step));
    const drawing = [
      label(LEFT, bars[0] - 8, "start", "how many values (logarithmic), and the grid"),
      pane(LEFT, at(threshold), bars, path("fill-1", ...outline)),
      pane(at(threshold), right, bars, path("fill-2", ...outline)),
      path("axis", `M${LEFT},${bars[1]}H${right}`),
      path("stroke-1", ...grid.map((x) => `M${x},${bars[1]}v9`)),
      panel("mean squared error", right, errors, values.map(at), powers),
      values.map((value) => label(at(value), errors[1] + 16, "middle", text(value))),
      path("axis dashed", `M${place(points[best], "sum")}V${errors[1]}`),
      pane(
        LEFT,
        right,
        errors,
        drawn("stroke-1 thick dashed", "rounding"),
        drawn("stroke-2 thick dotted", "clipping"),
        drawn("stroke-3 thick", "sum"),
      ),
      path("ink", `M${at(threshold)},${bars[0]}V${errors[1]}`),
      dot("fill-3 hollow", ...place(points[best], "sum")),
      dot("fill-3", ...place(points[chosen], "sum")),
    ];
    const known = { threshold, bits: bits.input.valueAsNumber, rounding, clipping };
    const belowThreshold = "mean of (dequantized − x)², or 0 above the threshold";
    const share = `${text(100 * clipped, 2)} % are above`;
    const aboveThreshold = `mean of (x − threshold)², or 0 below it; ${share}`;
    const optimum = `${text(points[best].threshold, 3)}, with ${text(points[best].sum, 3)}`;
    const rows = [
      row("step", "threshold / (2^bits − 1)", text(step, 3), "", known),
      row("rounding", belowThreshold, text(rounding, 3), "mark-1"),
      row("clipping", aboveThreshold, text(clipping, 3), "mark-2"),
      row("sum", "rounding + clipping", text(sum, 3), "mark-3", known),
      row("optimum", "the threshold of the smallest sum", optimum, "mark-3 hollow"),
    ];
    const times = text(sum / points[best].sum, 3);
    const verdict = chosen === best ? "the smallest there is" : `${times} times the smallest`;
    const said = `Clipped at ${text(threshold, 3)}, the mean squared error is ${verdict}.`;
    return { said, height: errors[1] + 22, drawing, rows };
  }
  mount(root, { name: "Where to clip", controls: [bits.box, button], slider, draw });
}

/** Mount what has its data and is not mounted yet; without its data a static figure stays. */
function mountAll() {
  for (const root of document.querySelectorAll("[data-explorer]")) {
    const data = !root.querySelector(".widget") && root.querySelector(".explorer-data");
    if (data) ({ affine, clipping })[root.dataset.explorer](root, JSON.parse(data.textContent));
  }
}

if (globalThis.document) {
  mountAll();
  globalThis.document$?.subscribe(mountAll); // Material's, should it load pages without reloading
}
