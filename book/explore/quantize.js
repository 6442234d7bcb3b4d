/* A ruler of few marks over the values of an activation: chapter 8, uvlm_mini.quantize.affine and show.
 *
 * As there, numbers are float32 wherever Math.fround stands, and halves go to the even integer.
 */
(function (root) {
  "use strict";
  const E = typeof module === "object" ? require("./explore.js") : root.Explore;
  const f = Math.fround, TINY = 2 ** -126; // the least normal float32

  /* Smallest and largest integer. */
  function levels(bits, symmetric = false) {
    const top = 2 ** (bits - 1) - 1;
    return [symmetric ? -top : -top - 1, top];
  }

  /* The affine map that covers a range: [scale, zero point]. */
  function scaleAndZeroPoint(low, high, bits, symmetric = false) {
    low = Math.min(low, 0);
    high = Math.max(high, 0);
    if (symmetric) low = -(high = Math.max(-low, high));
    const [bottom, top] = levels(bits, symmetric), scale = (high - low) / (top - bottom);
    if (scale < TINY) return [1, 0];
    return [f(scale), symmetric ? 0 : E.rint(bottom - low / scale)];
  }

  /* The nearest level, and the number that it stands for. */
  function quantize(x, scale, zero, bits) {
    const [bottom, top] = levels(bits);
    return Math.min(Math.max(E.rint(f(f(x) / scale)) + zero, bottom), top);
  }
  const dequantize = (q, scale, zero) => f(f(q - zero) * scale);

  /* Scale, zero point, marks that are used, mean square error by rounding and by clipping, and SQNR in dB.
   *
   * A value may stand for several: counts says for how many. */
  function tell(values, counts, low, high, bits, symmetric) {
    const [scale, zero] = scaleAndZeroPoint(low, high, bits, symmetric);
    const [bottom, top] = levels(bits).map((end) => dequantize(end, scale, zero));
    const used = new Set();
    let rounding = 0, clipping = 0, power = 0, size = 0;
    for (let i = 0; i < values.length; i++) {
      const x = values[i], q = quantize(x, scale, zero, bits);
      const error = counts[i] * (x - dequantize(q, scale, zero)) ** 2;
      used.add(q);
      if (x < bottom || x > top) clipping += error;
      else rounding += error;
      power += counts[i] * x * x;
      size += counts[i];
    }
    const noise = rounding + clipping;
    const ratio = noise ? 10 * Math.log10(power / noise) : Infinity;
    return { scale, zero, used: used.size, rounding: rounding / size, clipping: clipping / size, ratio };
  }

  /* Shares of the values, which are sorted, in equal steps from the least to the largest. */
  function histogram(values, counts, bins) {
    const low = values[0], high = values[values.length - 1];
    const size = counts.reduce((a, b) => a + b), share = Array(bins).fill(0);
    const bin = (x) => Math.min(Math.floor(((x - low) / (high - low)) * bins), bins - 1);
    values.forEach((x, i) => (share[bin(x)] += counts[i] / size));
    return { low, high, share, size };
  }

  // ------------------------------------------------------------------------------------------------------------------

  const HEIGHT = 290, LEFT = 46, BOTTOM = 42, STRIP = 34; // the strip below the axis holds the marks

  /* The histogram over the marks of a range, as wide as its place. */
  function ruler(place, h, found, bits, symmetric) {
    const width = Math.max(place.clientWidth, 280), [first, last] = levels(bits, symmetric);
    const marks = [...Array(last - first + 1).keys()].map((i) => dequantize(first + i, found.scale, found.zero));
    const wide = (h.high - h.low) * 0.03;
    const from = Math.min(h.low, marks[0]) - wide, to = Math.max(h.high, marks[marks.length - 1]) + wide;
    const least = Math.log10(0.5 / h.size);
    const x = (value) => LEFT + ((value - from) / (to - from)) * (width - LEFT - 8);
    const floor = HEIGHT - BOTTOM - STRIP, under = HEIGHT - BOTTOM;
    const y = (share) => 8 + (Math.log10(share) / least) * (floor - 8), step = (h.high - h.low) / h.share.length;
    const drawing = E.svg("svg", { width, height: HEIGHT, role: "img", class: "explore-drawing" });
    const [bottom, top] = [marks[0], marks[marks.length - 1]].map((mark) => E.general(mark, 3));
    drawing.setAttribute("aria-label", `Histogram of the values over ${marks.length} marks from ${bottom} to ${top}`);
    const line = (kind, x1, y1, x2, y2) => drawing.append(E.svg("line", { class: kind, x1, y1, x2, y2 }));
    const text = (what, at, high, anchor = "middle") =>
      drawing.append(E.svg("text", { x: at, y: high, "text-anchor": anchor }, what));

    h.share.forEach((share, i) => {
      if (share) drawing.append(E.svg("rect", { class: "explore-fill", x: x(h.low + i * step), y: y(share),
        width: x(step) - x(0), height: floor - y(share) }));
    });
    line("explore-axis", LEFT, 8, LEFT, floor);
    line("explore-axis", LEFT, floor, width - 8, floor);
    line("explore-axis", LEFT, under, width - 8, under);
    for (let power = 0; power > least; power -= 1) {
      line("explore-axis", LEFT - 4, y(10 ** power), LEFT, y(10 ** power));
      const name = power ? `10⁻${"⁰¹²³⁴⁵⁶⁷⁸⁹"[-power]}` : "1";
      if (power % 2 === 0) text(name, LEFT - 7, y(10 ** power) + 4, "end");
    }
    const every = [1, 2, 5, 10, 20].find((one) => (to - from) / one <= width / 60) || 50;
    for (let value = Math.ceil(from / every) * every; value <= to; value += every) {
      line("explore-axis", x(value), under, x(value), under + 4);
      text(String(value).replace("-", "−"), x(value), under + 18);
    }
    text("value", (LEFT + width) / 2, HEIGHT - 6);
    const kind = bits < 7 ? "explore-mark" : "explore-mark explore-thin";
    for (const mark of marks) line(kind, x(mark), under - 14, x(mark), under);
    for (const mark of [marks[0], marks[marks.length - 1]]) line("explore-end", x(mark), 8, x(mark), under);
    drawing.append(E.svg("path", { class: "explore-zero", d: `M${x(0)} ${under - 17} l-5 -9 h10 z` }));
    text(`Z = ${found.zero}`.replace("-", "−"), x(0) + 9, under - 18, "start");
    place.replaceChildren(drawing);
  }

  function start(place, data) {
    const shown = E.make("div"), told = E.says(), h = histogram(data.values, data.counts, 120);
    let found;
    const depth = E.slider("bits", { min: 2, max: 8, value: data.bits, changed });
    const cut = E.choice("cut off", {
      options: data.tails, value: data.tail, show: (v) => `${E.fixed(100 * v, 2)}%`, changed });
    const even = E.make("input", { type: "checkbox", onchange: changed });
    even.checked = data.symmetric;
    const tick = E.make("label", { class: "explore-tick" }, even, " symmetric: zero point 0");

    function changed() {
      const [low, high] = data.ends[data.tails.indexOf(cut.value)];
      found = tell(data.values, data.counts, low, high, depth.value, even.checked);
      const marks = `${found.used} of ${2 ** depth.value} marks are used.`;
      told.textContent =
        `Scale ${E.general(found.scale, 4)}, zero point ${found.zero}; ${marks} Noise by rounding ` +
        `${E.general(found.rounding, 2)}, by clipping ${E.general(found.clipping, 2)}; ` +
        `signal to noise ${E.fixed(found.ratio, 1)} dB.`;
      draw();
    }

    const draw = () => ruler(shown, h, found, depth.value, even.checked);

    const note = E.make("p", { class: "explore-note", text: "Above, the share of the values, on a logarithmic axis; " +
      "below, a short line for each mark, and a triangle at zero. Dashed lines: where the marks end." });
    place.append(depth.node, cut.node, tick, told, shown, note);
    changed();
    new ResizeObserver(draw).observe(place);
  }

  if (typeof module === "object" && module.exports) module.exports = { scaleAndZeroPoint, quantize, dequantize, tell };
  else E.register("quantize", start);
})(globalThis);
