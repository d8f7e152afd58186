// What results/explore.html does: filter, draw, compare, sort and download the rows of STUDY, which explore_data.py
// describes. A row is its number in study.csv.
"use strict";

const STUDY = JSON.parse(document.getElementById("study").textContent);
const SHOWN_AT_ONCE = 50;
const DEFAULTS = { x: "latency_ms", y: "top1", colour: "compression", x_log: true, y_log: false };
// The share of the points' extent that is left free on each side.
const MARGIN = 0.05;
// How far from a point, in pixels, a tap still means it.
const REACH = 12;
// Of a two-sided 95 % interval.
const TAIL = 0.025;
const WHOLE = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const EXACT = new Intl.NumberFormat("en", { maximumSignificantDigits: 4 });
const SHORT = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 4 });
// The markers of Bokeh as paths within 12 x 12, for the key.
const SHAPES = {
  circle: "M-4.5 0a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0-9 0z",
  square: "M-4.5-4.5h9v9h-9z",
  triangle: "M0-5L5 4H-5z",
  inverted_triangle: "M0 5L5-4H-5z",
  diamond: "M0-5.5L3.7 0L0 5.5L-3.7 0z",
  star: "M0-5.5L1.3-1.8L5.2-1.7L2.1.7L3.2 4.4L0 2.2L-3.2 4.4L-2.1.7L-5.2-1.7L-1.3-1.8z",
  plus: "M-5-2h3v-3h4v3h3v4h-3v3h-4v-3h-3z",
  hex: "M-5 0L-2.5-4.3H2.5L5 0L2.5 4.3H-2.5z",
  x: "M-4-4L4 4M4-4L-4 4",
  cross: "M-5 0H5M0-5V5",
};

const element = (id) => document.getElementById(id);
const decode = (text, Type) => new Type(Uint8Array.from(atob(text), (one) => one.charCodeAt(0)).buffer);

for (const column of STUDY.columns) {
  column.values = column.names ? decode(column.codes, Int32Array) : decode(column.numbers, Float64Array);
}
const COLUMNS = Object.fromEntries(STUDY.columns.map((column) => [column.name, column]));
const LAYERS = Object.fromEntries(STUDY.layers.map((layer) => [layer.name, layer]));
const MEASURED = decode(STUDY.measured, Uint8Array);
const LATENCIES = decode(STUDY.latencies, Float32Array);
const JOBS = decode(STUDY.jobs, Int32Array);
const FLOORS = decode(STUDY.floors, Float64Array);
const ROWS = Array.from({ length: STUDY.rows }, (_, row) => row);

// What is shown. `chosen` are at most two rows, the older one first.
const state = { checked: {}, sort: null, descending: false, first: 0, chosen: [] };
// Bokeh's document, and what a search looks through; null until there is any.
let bokeh = null;
let texts = null;

// --- Values ---------------------------------------------------------------------------------------------------------

function number(value) {
  if (Number.isNaN(value)) return "";
  return Number.isInteger(value) ? WHOLE.format(value) : EXACT.format(value);
}

function shortNumber(value) {
  return SHORT.format(value);
}

function cellText(name, row) {
  const column = COLUMNS[name];
  return column.names ? column.labels[column.values[row]] : number(column.values[row]);
}

function kind(layer, row) {
  return layer.kinds[COLUMNS[layer.name].values[row]];
}

function csvCell(column, row) {
  const value = column.values[row];
  const text = column.names ? column.names[value] : Number.isNaN(value) ? "" : String(value);
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

// --- Which rows -----------------------------------------------------------------------------------------------------

function matching() {
  const filters = STUDY.layers.filter((layer) => state.checked[layer.name].size);
  const words = element("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length && !texts) {
    const named = STUDY.columns.filter((column) => column.names);
    const both = named.map((column) => column.names.map((name, code) => `${name} ${column.labels[code]}`.toLowerCase()));
    texts = ROWS.map((row) => named.map((column, at) => both[at][column.values[row]]).join(" "));
  }
  return ROWS.filter(
    (row) =>
      filters.every((layer) => state.checked[layer.name].has(kind(layer, row))) &&
      words.every((word) => texts[row].includes(word)),
  );
}

function sorted(rows) {
  if (!state.sort) return rows;
  const { values } = COLUMNS[state.sort];
  const sign = state.descending ? -1 : 1;
  // Rows without a number are last in either direction.
  const compare = (a, b) => Number.isNaN(values[a]) - Number.isNaN(values[b]) || sign * (values[a] - values[b]) || 0;
  return rows.toSorted(compare);
}

function pointsOf(rows) {
  const drawable = (axis) => {
    const { values } = COLUMNS[element(axis).value];
    return element(`${axis}_log`).checked ? (row) => values[row] > 0 : (row) => !Number.isNaN(values[row]);
  };
  const [x, y] = [drawable("x"), drawable("y")];
  return rows.filter((row) => MEASURED[row] && x(row) && y(row));
}

// --- The plot -------------------------------------------------------------------------------------------------------

function model(name) {
  return bokeh.get_model_by_name(name);
}

function drawPlot(points) {
  const layer = LAYERS[element("colour").value];
  const kinds = points.map((row) => kind(layer, row));
  const data = { row: points, label: kinds.map((one) => layer.labels[one]) };
  data.colour = kinds.map((one) => layer.colours[one]);
  data.marker = kinds.map((one) => layer.markers[one]);
  const plot = model("plot");
  for (const axis of ["x", "y"]) {
    const column = COLUMNS[element(axis).value];
    const log = element(`${axis}_log`).checked;
    data[axis] = points.map((row) => column.values[row]);
    fitRange(plot[`${axis}_range`], data[axis], log);
    const Scale = Bokeh.Models.get(log ? "LogScale" : "LinearScale");
    if (!(plot[`${axis}_scale`] instanceof Scale)) plot[`${axis}_scale`] = new Scale();
    for (const scale of ["linear", "log"]) {
      const visible = (scale === "log") === log;
      model(`${axis}_${scale}`).setv({ visible, axis_label: column.title });
      model(`${axis}_${scale}_grid`).visible = visible;
    }
  }
  model("points").data = data;
  drawKey(layer, kinds);
}

function fitRange(range, values, log) {
  if (!values.length) return;
  const [to, from] = log ? [Math.log, Math.exp] : [Number, Number];
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  // One value alone has a range around it too.
  const free = MARGIN * (to(high) - to(low)) || MARGIN * Math.abs(to(high)) || MARGIN;
  const [start, end] = [from(to(low) - free), from(to(high) + free)];
  range.setv({ start, end, reset_start: start, reset_end: end });
}

function drawKey(layer, kinds) {
  const there = new Set(kinds);
  const entries = layer.labels.flatMap((label, one) => {
    if (!there.has(one)) return [];
    const shape = SHAPES[layer.markers[one]];
    return [`<li><svg viewBox="-6 -6 12 12" aria-hidden="true"><path d="${shape}" fill="${layer.colours[one]}" fill-rule="evenodd" stroke="#404040"/></svg></li>`];
  });
  element("key").innerHTML = entries.join("");
  layer.labels.filter((_, one) => there.has(one)).forEach((label, at) => element("key").children[at].append(label));
}

// Return the rows of the points within reach of a place, the nearest first, with their distances in pixels.
function pointsNear(x, y) {
  const plot = model("plot");
  const pixelsFrom = (axis, place, length) => {
    const to = element(`${axis}_log`).checked ? Math.log : Number;
    const { start, end } = plot[`${axis}_range`];
    return (value) => (length * (to(value) - to(place))) / (to(end) - to(start));
  };
  const [dx, dy] = [pixelsFrom("x", x, plot.inner_width), pixelsFrom("y", y, plot.inner_height)];
  const { data } = model("points");
  return data.row
    .map((row, at) => ({ row, pixels: Math.hypot(dx(data.x[at]), dy(data.y[at])) }))
    .filter(({ pixels }) => pixels < REACH)
    .sort((a, b) => a.pixels - b.pixels);
}

function markChosen() {
  const { data } = model("points");
  const places = state.chosen.map((row) => data.row.indexOf(row)).filter((at) => at >= 0);
  const chosen = Object.entries(data).map(([name, values]) => [name, places.map((at) => values[at])]);
  model("chosen").data = Object.fromEntries(chosen);
}

// --- The comparison -------------------------------------------------------------------------------------------------

function choose(row) {
  const others = state.chosen.filter((one) => one !== row);
  state.chosen = others.length < state.chosen.length ? others : [...others, row].slice(-2);
}

// Return the ratio of two rows' latencies: {estimate, low, high, rounds}; no rounds where they are not paired.
function ratioOf(first, second) {
  const ratios = [];
  if (JOBS[first] === JOBS[second]) {
    for (let round = 0; round < STUDY.rounds; round++) {
      const ratio = LATENCIES[first * STUDY.rounds + round] / LATENCIES[second * STUDY.rounds + round];
      if (!Number.isNaN(ratio)) ratios.push(ratio);
    }
  }
  if (!ratios.length) {
    const { values } = COLUMNS.latency_ms;
    return { estimate: values[first] / values[second], low: NaN, high: NaN, rounds: 0 };
  }
  ratios.sort((a, b) => a - b);
  const [lower, upper] = [(ratios.length - 1) >> 1, ratios.length >> 1];
  const outside = outsideMedian(ratios.length);
  return {
    estimate: (ratios[lower] + ratios[upper]) / 2,
    low: outside ? ratios[outside - 1] : NaN,
    high: outside ? ratios[ratios.length - outside] : NaN,
    rounds: ratios.length,
  };
}

// Return k of the interval from the k-th smallest to the k-th largest of n values, which has the median with 95 %
// confidence: the largest k with P(Binomial(n, 1/2) < k) <= 2.5 %. Fewer than six values have none: 0.
function outsideMedian(n) {
  let [k, logarithm, below] = [0, -n * Math.LN2, 0];
  for (;;) {
    below += Math.exp(logarithm);
    if (below > TAIL) return k;
    logarithm += Math.log((n - k) / (k + 1));
    k++;
  }
}

function verdictOf(first, second) {
  const three = (value) => value.toPrecision(4);
  const { estimate, low, high, rounds } = ratioOf(first, second);
  const lines = [`Latency of the first over the second: ${three(estimate)}`];
  if (!rounds) {
    return [...lines, "Not paired: they were timed in different jobs. This is the ratio of the medians, without an interval."];
  }
  if (Number.isNaN(low)) lines.push(`The median of ${rounds} paired rounds, too few for an interval.`);
  else {
    lines[0] += ` [${three(low)}, ${three(high)}]`;
    lines.push(`The median of ${rounds} paired rounds, with its 95 % interval by order statistics.`);
  }
  const floors = [first, second].map((row) => FLOORS[row]).filter((floor) => !Number.isNaN(floor));
  if (!floors.length) return [...lines, "No noise floor was measured."];
  const floor = Math.max(...floors);
  const clear = low > floor || high < 1 / floor;
  lines.push(
    `Noise floor: ${three(floor)}, by which two timings of one library differ. ` +
      (clear ? "The difference is clear: the interval lies beyond it." : "The difference is not clear."),
  );
  return lines;
}

function drawComparison() {
  const { chosen } = state;
  const place = element("comparison");
  element("clear").hidden = !chosen.length;
  if (!chosen.length) {
    place.replaceChildren(made("p", "Nothing is chosen.", "note"));
    return;
  }
  const parts = [];
  if (chosen.length < 2) parts.push(made("p", "Choose a second configuration.", "note"));
  else if (chosen.every((row) => MEASURED[row])) parts.push(...verdictOf(...chosen).map((line) => made("p", line)));
  else parts.push(made("p", "Without a measurement of both there is no ratio."));
  const table = made("table");
  const head = table.createTHead().insertRow();
  head.append(...["", "First", "Second"].slice(0, 1 + chosen.length).map((text) => made("th", text)));
  const body = table.createTBody();
  for (const name of STUDY.table) {
    const cells = chosen.map((row) => cellText(name, row));
    const line = body.insertRow();
    line.className = new Set(cells).size > 1 ? "different" : "";
    const title = made("th", COLUMNS[name].title);
    title.scope = "row";
    line.append(title, ...cells.map((text) => made("td", text, name)));
  }
  place.replaceChildren(...parts, table);
}

function made(tag, text = "", style = "") {
  const one = document.createElement(tag);
  one.textContent = text;
  one.className = style;
  return one;
}

// --- The table ------------------------------------------------------------------------------------------------------

function drawHead(table) {
  const head = table.createTHead().insertRow();
  head.append(made("th", "Compare"));
  for (const name of STUDY.table) {
    const column = COLUMNS[name];
    const cell = made("th", "", column.names ? "" : "number");
    const button = made("button");
    button.type = "button";
    button.dataset.column = name;
    cell.append(button);
    head.append(cell);
  }
}

function drawSort() {
  for (const button of element("rows").querySelectorAll("thead button")) {
    const name = button.dataset.column;
    const order = state.sort !== name ? "none" : state.descending ? "descending" : "ascending";
    button.parentElement.setAttribute("aria-sort", order);
    // aria-sort says the same to screen readers.
    const arrow = made("span", { none: "", ascending: " \u25b2", descending: " \u25bc" }[order]);
    arrow.ariaHidden = "true";
    button.replaceChildren(COLUMNS[name].title, arrow);
  }
}

function drawTable(rows) {
  state.first = Math.max(0, Math.min(state.first, rows.length - 1));
  state.first -= state.first % SHOWN_AT_ONCE;
  const shown = rows.slice(state.first, state.first + SHOWN_AT_ONCE);
  const body = made("tbody");
  for (const row of shown) {
    const line = body.insertRow();
    line.className = state.chosen.includes(row) ? "chosen" : "";
    const box = made("input");
    box.type = "checkbox";
    box.checked = state.chosen.includes(row);
    box.dataset.row = row;
    box.ariaLabel = `Compare ${STUDY.layers.slice(0, -1).map((layer) => cellText(layer.name, row)).join(", ")}`;
    line.insertCell().append(box);
    for (const name of STUDY.table) line.append(made("td", cellText(name, row), COLUMNS[name].names ? name : "number"));
  }
  element("rows").firstChild.tBodies[0].replaceWith(body);
  element("place").textContent = shown.length
    ? `Rows ${state.first + 1} to ${state.first + shown.length} of ${rows.length}`
    : "No row";
  element("previous").disabled = !state.first;
  element("next").disabled = state.first + shown.length >= rows.length;
  drawSort();
}

function download() {
  const lines = [STUDY.columns.map((column) => column.name).join(",")];
  for (const row of sorted(matching())) lines.push(STUDY.columns.map((column) => csvCell(column, row)).join(","));
  const link = made("a");
  link.href = URL.createObjectURL(new Blob([`${lines.join("\n")}\n`], { type: "text/csv" }));
  link.download = "study_shown.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

// --- All of it ------------------------------------------------------------------------------------------------------

function show() {
  const rows = matching();
  const points = pointsOf(rows);
  element("count").textContent = `${rows.length} of ${STUDY.rows} rows, ${points.length} of them as points`;
  if (bokeh) drawPlot(points);
  showTable(rows);
  showChoice();
}

function showTable(rows = matching()) {
  drawTable(sorted(rows));
}

function showChoice() {
  if (bokeh) markChosen();
  for (const box of element("rows").querySelectorAll("tbody input")) {
    box.checked = state.chosen.includes(Number(box.dataset.row));
    box.closest("tr").className = box.checked ? "chosen" : "";
  }
  drawComparison();
}

// A tap chooses the nearest point, or gives it up. Of points in one place it takes one that is not chosen yet.
function tap({ x, y }) {
  const near = pointsNear(x, y);
  if (!near.length) return;
  const together = near.filter(({ pixels }) => pixels - near[0].pixels < 1).map(({ row }) => row);
  const row = together.find((one) => !state.chosen.includes(one)) ?? together[0];
  choose(row);
  const at = sorted(matching()).indexOf(row);
  state.first = at - (at % SHOWN_AT_ONCE);
  showTable();
  showChoice();
}

function reset() {
  for (const [id, value] of Object.entries(DEFAULTS)) element(id)[id.endsWith("_log") ? "checked" : "value"] = value;
  for (const layer of STUDY.layers) state.checked[layer.name] = new Set();
  for (const box of element("layers").querySelectorAll("input")) box.checked = false;
  element("search").value = "";
  Object.assign(state, { sort: null, descending: false, first: 0, chosen: [] });
}

function fillControls() {
  const fill = (id, entries) => element(id).append(...entries.map((one) => new Option(one.title, one.name)));
  for (const axis of ["x", "y"]) fill(axis, STUDY.axes.map((name) => COLUMNS[name]));
  fill("colour", STUDY.layers);
  for (const layer of STUDY.layers) {
    const group = made("fieldset");
    group.append(made("legend", layer.title));
    layer.labels.forEach((text, one) => {
      const box = made("input");
      const label = made("label");
      box.type = "checkbox";
      box.addEventListener("change", () => {
        state.checked[layer.name][box.checked ? "add" : "delete"](one);
        state.first = 0;
        show();
      });
      label.append(box, text);
      group.append(label);
    });
    element("layers").append(group);
  }
  const table = made("table");
  drawHead(table);
  table.createTBody();
  element("rows").replaceChildren(table);
}

function listen() {
  for (const id of Object.keys(DEFAULTS)) element(id).addEventListener("change", show);
  element("search").addEventListener("input", () => {
    state.first = 0;
    show();
  });
  element("reset").addEventListener("click", () => {
    reset();
    show();
  });
  element("download").addEventListener("click", download);
  element("clear").addEventListener("click", () => {
    state.chosen = [];
    showChoice();
  });
  for (const [id, step] of [["previous", -SHOWN_AT_ONCE], ["next", SHOWN_AT_ONCE]]) {
    element(id).addEventListener("click", () => {
      state.first += step;
      showTable();
    });
  }
  element("rows").addEventListener("click", ({ target }) => {
    const name = target.dataset.column;
    if (!name) return;
    state.descending = state.sort === name && !state.descending;
    Object.assign(state, { sort: name, first: 0 });
    showTable();
  });
  element("rows").addEventListener("change", ({ target }) => {
    choose(Number(target.dataset.row));
    showChoice();
  });
}

async function start() {
  fillControls();
  reset();
  listen();
  // The long list of filters would hide the plot on a small screen.
  element("filters").open = window.innerWidth > 700;
  if (MEASURED.some(Boolean)) {
    const item = JSON.parse(element("figure").textContent);
    await Bokeh.embed.embed_item(item, "plot");
    [bokeh] = Bokeh.documents;
    for (const gesture of ["tap", "doubletap"]) model("plot").on_event(gesture, tap);
  } else {
    element("nothing").hidden = false;
    element("plot").hidden = true;
  }
  show();
  document.body.dataset.ready = "yes";
}

start();
