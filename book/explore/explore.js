/* What the explorables share: numbers as Python prints them, controls with labels, tables, maps.
 *
 * An explorable stands in a page as <div class="explore" data-explore="counts" data-key="...">, with what its widget
 * showed at first inside. Its script calls Explore.register("counts", start), the script of its data, which
 * scripts/build_explore.py writes, calls Explore.give(key, data); once the page is read, start(div, data) takes over.
 */
(function (root) {
  "use strict";

  // ------------------------------------------------------------------------------------------------------------------
  // numbers

  /* The nearest integer, of two the even one: Python's round, NumPy's rint. */
  function rint(x) {
    const low = Math.floor(x), rest = x - low;
    if (rest !== 0.5) return rest < 0.5 ? low : low + 1;
    return low % 2 === 0 ? low : low + 1;
  }

  /* Of a number's digits, short ones and thirty more: the short ones, but of two equally near the even one. */
  function nearer(short, long, digits) {
    if (!/^50*$/.test(long.slice(-30))) return short;
    const cut = digits ? long.slice(0, -30) : long.slice(0, -31); // the point, too
    return "02468".includes(cut.slice(-1)) ? cut : short;
  }

  /* f"{x:.{digits}f}" */
  function fixed(x, digits) {
    if (!Number.isFinite(x)) return x > 0 ? "inf" : x < 0 ? "-inf" : "nan";
    return nearer(x.toFixed(digits), x.toFixed(digits + 30), digits);
  }

  /* f"{x:.{digits}g}" */
  function general(x, digits) {
    if (!Number.isFinite(x)) return fixed(x, 0);
    if (x === 0) return "0";
    const sign = x < 0 ? "-" : "";
    const [short, power] = Math.abs(x).toExponential(digits - 1).split("e");
    const long = Math.abs(x).toExponential(digits + 29).split("e")[0];
    const mantissa = nearer(short, long, digits - 1).replace(".", ""), exponent = Number(power);
    const strip = (text) => (text.includes(".") ? text.replace(/\.?0*$/, "") : text);
    if (exponent < -4 || exponent >= digits) {
      const size = String(Math.abs(exponent)).padStart(2, "0");
      return `${sign}${strip(`${mantissa[0]}.${mantissa.slice(1)}`)}e${exponent < 0 ? "-" : "+"}${size}`;
    }
    if (exponent < 0) return sign + strip(`0.${"0".repeat(-exponent - 1)}${mantissa}`);
    return sign + strip(`${mantissa.slice(0, exponent + 1)}.${mantissa.slice(exponent + 1)}`);
  }

  /* f"{n:,}" of an integer */
  const grouped = (n) => String(n).replace(/\B(?=(\d{3})+$)/g, ",");

  /* f"{x:+.{digits}f}" */
  const signed = (x, digits) => (x < 0 ? "" : "+") + fixed(x, digits);

  // ------------------------------------------------------------------------------------------------------------------
  // what a page is made of

  let ids = 0;

  /* An element: its attributes (text goes in as textContent, on... as a listener) and what is inside. */
  function make(tag, attributes = {}, ...inside) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name === "text") element.textContent = value;
      else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else if (value !== undefined) element.setAttribute(name, value);
    }
    element.append(...inside);
    return element;
  }

  /* A slider with its label and its number. `real` turns the slider's place into a value, `show` a value into text;
   * until it is moved, its value is the one that was given, wherever the steps are. */
  function slider(label, { min, max, step = 1, value, at = value, real = Number, show = String, changed }) {
    const id = `explore-${++ids}`;
    const input = make("input", { type: "range", id, min, max, step, value: at });
    const output = make("output", { for: id });
    const name = make("label", { for: id, text: label });
    const made = { node: make("div", { class: "explore-slider" }, name, input, output) };
    made.set = (now) => {
      made.value = now;
      output.textContent = show(now);
      input.setAttribute("aria-valuetext", show(now));
    };
    made.limit = (most) => {
      input.max = most;
      made.set(real(Number(input.value)));
    };
    input.addEventListener("input", () => {
      made.set(real(Number(input.value)));
      changed();
    });
    made.set(value);
    return made;
  }

  /* A slider over the values of a list. */
  function choice(label, { options, value, show = String, changed }) {
    const real = (place) => options[place];
    return slider(label, { min: 0, max: options.length - 1, at: options.indexOf(value), value, real, show, changed });
  }

  /* A slider over powers of ten: min and max are exponents. */
  function powers(label, { min, max, step, value, show, changed }) {
    return slider(label, { min, max, step, at: Math.log10(value), value, real: (e) => 10 ** e, show, changed });
  }

  /* What a screen reader says whenever it changes; not to be seen where a table beside it has the same numbers. */
  const says = (hidden = false) =>
    make("p", { class: `explore-says${hidden ? " explore-hidden" : ""}`, role: "status", "aria-live": "polite" });

  /* A table; a cell is text, or an element. The first cell of each row is its head, the others are numbers if they
   * look like it. */
  function table(head, rows) {
    const cell = (tag, what) => {
      const number = typeof what === "string" && /^[−+-]?[\d.,]+( ms)?$/.test(what);
      return make(tag, number ? { class: "explore-number" } : {}, what);
    };
    const body = rows.map(([first, ...others]) => {
      const name = cell("th", first);
      name.scope = "row";
      return make("tr", {}, name, ...others.map((what) => cell("td", what)));
    });
    const names = head.map((what) => make("th", { scope: "col", text: what }));
    const top = head.length ? [make("thead", {}, make("tr", {}, ...names))] : [];
    return make("div", { class: "explore-table" }, make("table", {}, ...top, make("tbody", {}, ...body)));
  }

  /* A panel: something to look at, and its title. */
  const panel = (title, inside) =>
    make("figure", { class: "explore-panel" }, make("figcaption", { text: title }), inside);

  /* The colour of a value: `colors` are 256 of them, "rrggbb", spread from low to high. */
  function color(colors, value, low, high) {
    const place = Math.floor(((value - low) / (high - low)) * 256);
    return `#${colors[Math.min(Math.max(place, 0), 255)]}`;
  }

  /* A map as a picture, one pixel a cell, which the style sheet enlarges. */
  function drawMap(canvas, rows, colors, low, high) {
    canvas.width = rows[0].length;
    canvas.height = rows.length;
    const context = canvas.getContext("2d");
    rows.forEach((row, y) =>
      row.forEach((value, x) => {
        context.fillStyle = color(colors, value, low, high);
        context.fillRect(x, y, 1, 1);
      })
    );
  }

  const mapCanvas = (label) => make("canvas", { class: "explore-map", role: "img", "aria-label": label });

  /* The scale of a map's colours. */
  function scale(colors, low, high, label) {
    const stops = colors.filter((_, i) => i % 15 === 0).map((one) => `#${one}`).join(", ");
    const bar = make("span", { class: "explore-bar", style: `background: linear-gradient(to right, ${stops})` });
    return make("p", { class: "explore-scale" }, `${label}: ${low} `, bar, ` ${high}`);
  }

  /* A node of a drawing in SVG. */
  function svg(tag, attributes = {}, ...inside) {
    const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    node.append(...inside);
    return node;
  }

  // ------------------------------------------------------------------------------------------------------------------
  // starting

  const starts = {}, given = {};

  function begin() {
    for (const place of document.querySelectorAll(".explore[data-key]")) {
      place.replaceChildren();
      starts[place.dataset.explore](place, given[place.dataset.key]);
      place.dataset.ready = "yes";
    }
  }

  const Explore = {
    rint, fixed, general, grouped, signed,
    make, slider, choice, powers, says, table, panel, color, drawMap, mapCanvas, scale, svg,
    colors: {},
    register: (name, start) => (starts[name] = start),
    give: (key, data) => (given[key] = data),
  };

  if (typeof module === "object" && module.exports) module.exports = Explore;
  else {
    root.Explore = Explore;
    document.addEventListener("DOMContentLoaded", begin);
  }
})(globalThis);
