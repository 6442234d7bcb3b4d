/* A bias map that is painted, by hand or by a generator, over features: chapter 2.
 *
 * uvlm_mini.viz.painted, and uvlm_mini.modulation's SignalGenerator and adapt.
 */
(function (root) {
  "use strict";
  const E = typeof module === "object" ? require("./explore.js") : root.Explore;

  const hswish = (x) => (x * Math.min(Math.max(x + 3, 0), 6)) / 6;

  /* A square map pooled or enlarged to another side, of which one divides the other. */
  function adapt(map, side) {
    const from = map.length, range = [...Array(side).keys()];
    if (side >= from) {
      const times = side / from;
      return range.map((y) => range.map((x) => map[Math.floor(y / times)][Math.floor(x / times)]));
    }
    const cell = from / side, inside = [...Array(cell).keys()];
    const of = (y, x) => inside.flatMap((i) => inside.map((j) => map[y * cell + i][x * cell + j]));
    return range.map((y) => range.map((x) => of(y, x).reduce((a, b) => a + b) / cell ** 2));
  }

  /* H-Swish of features plus a bias, which is enlarged to their side. */
  function painted(x, bias) {
    const large = adapt(bias, x.length);
    return x.map((row, i) => row.map((value, j) => hswish(value + large[i][j])));
  }

  /* The generator: prior (P, h, h), weights (C, P), constants (C) -> bias maps (C, side, side). */
  function signal(prior, weights, constants, side) {
    const small = prior.map((map) => adapt(map, Math.min(side, map.length)));
    return weights.map((row, c) => {
      const at = (y, x) => row.reduce((sum, weight, p) => sum + weight * small[p][y][x], constants[c]);
      const map = small[0].map((line, y) => line.map((_, x) => hswish(at(y, x))));
      return adapt(map, side);
    });
  }

  /* What passes in all: the sum of what is above zero. */
  const passing = (map) => map.flat().reduce((sum, value) => sum + Math.max(value, 0), 0);

  /* How many fields amplify and suppress, and what passes without and with them. */
  function tell(x, bias) {
    const quiet = bias.map((row) => row.map(() => 0)), fields = bias.flat();
    return {
      amplify: fields.filter((b) => b > 0).length,
      suppress: fields.filter((b) => b < 0).length,
      before: passing(painted(x, quiet)),
      after: passing(painted(x, bias)),
    };
  }

  // ------------------------------------------------------------------------------------------------------------------

  const MOST = 8, TOP = 5; // ends of the two scales, those of the notebook's figure

  /* Fields to press. Arrow keys move between them, space and enter press, a mouse may draw a line. */
  function fields(side, pressed) {
    const node = E.make("div", { class: "explore-fields", role: "group", "aria-label": "The painted bias",
      style: `grid-template: repeat(${side}, minmax(0, 1fr)) / repeat(${side}, minmax(0, 1fr))` });
    let drawing = null; // whether a line that the mouse draws presses or releases
    const keys = [...Array(side ** 2).keys()].map((i) =>
      E.make("button", { type: "button", tabindex: i ? -1 : 0, onclick: (event) => {
        if (event.detail === 0 || event.pointerType !== "mouse") pressed(i); // the mouse has its own way below
      } }));
    keys.forEach((key, i) => {
      const on = () => key.getAttribute("aria-pressed") === "true";
      key.addEventListener("pointerdown", (event) => {
        if (event.pointerType !== "mouse" || event.button) return;
        drawing = !on();
        pressed(i);
      });
      key.addEventListener("pointerenter", (event) => {
        if (event.pointerType === "mouse" && event.buttons === 1 && drawing !== null && on() !== drawing) pressed(i);
      });
      key.addEventListener("keydown", (event) => {
        const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -side, ArrowDown: side }[event.key];
        const edge = step === -1 ? i % side === 0 : step === 1 ? i % side === side - 1 : false;
        if (!step || edge || !keys[i + step]) return;
        event.preventDefault();
        keys[i + step].focus();
      });
      key.addEventListener("focus", () => keys.forEach((other, j) => (other.tabIndex = i === j ? 0 : -1)));
    });
    root.addEventListener("pointerup", () => (drawing = null));
    node.append(...keys);
    return { node, keys };
  }

  function start(place, data) {
    const side = data.start.length, x = data.x;
    let bias = data.start.map((row) => row.slice());
    const { signed: ORANGE, features: YELLOW } = E.colors;
    const before = E.mapCanvas("H-Swish of the features"), after = E.mapCanvas("H-Swish of features plus bias");
    const told = E.says();
    const brush = E.slider("strength", {
      min: -8, max: 8, value: data.strength, show: (v) => E.signed(v, 0), changed: () => {} });
    const grid = fields(side, (i) => {
      const pressed = grid.keys[i].getAttribute("aria-pressed") === "true";
      on[i] = !pressed;
      bias[Math.floor(i / side)][i % side] = pressed ? 0 : brush.value;
      draw();
    });
    let on = bias.flat().map(Boolean);

    function fill(map) {
      bias = map;
      on = bias.flat().map(Boolean);
      draw();
    }

    function draw() {
      grid.keys.forEach((key, i) => {
        const b = bias.flat()[i], shown = Math.abs(b) < 10 && b % 1 ? E.signed(b, 1) : E.signed(b, 0);
        key.setAttribute("aria-pressed", on[i]);
        key.setAttribute("aria-label", `row ${Math.floor(i / side) + 1}, column ${(i % side) + 1}: ${E.signed(b, 1)}`);
        key.textContent = on[i] ? shown.replace("-", "−") : "";
        key.style.backgroundColor = E.color(ORANGE, b, -MOST, MOST);
        key.style.color = Math.abs(b) > 0.6 * MOST ? "#fff" : "#000";
      });
      E.drawMap(after, painted(x, bias), YELLOW, 0, TOP);
      const found = tell(x, bias);
      told.textContent =
        `Fields that amplify: ${found.amplify}, that suppress: ${found.suppress}. What passes in all: ` +
        `${E.fixed(found.before, 0)} without the bias, ${E.fixed(found.after, 0)} with it.`;
    }

    const empty = () => fill(bias.map((row) => row.map(() => 0)));
    const clear = E.make("button", { type: "button", text: "clear", onclick: empty });
    const generate = () => {
      const [red, green, blue, constant] = weights.map((one) => one.value);
      fill(signal(data.prior, [[red, green, blue]], [constant], side)[0]);
    };
    const weights = ["red", "green", "blue", "constant"].map((name, i) =>
      E.slider(name, { min: i < 3 ? -16 : -4, max: i < 3 ? 16 : 4, step: i < 3 ? 1 : 0.5,
        value: [...data.weights, data.constant][i], show: (v) => E.signed(v, i < 3 ? 0 : 1), changed: generate }));
    const generator = E.make("details", {}, E.make("summary", { text: "Let a generator paint" }),
      E.make("p", { text: "One 1×1 convolution and H-Swish over the picture, averaged down to 4×4: three weights " +
        "and a constant. They start where the chapter has set them by hand." }),
      ...weights.map((one) => one.node), E.make("button", { type: "button", text: "paint", onclick: generate }));

    E.drawMap(before, painted(x, [[0]]), YELLOW, 0, TOP);
    const picture = E.make("img", { src: data.picture, class: "explore-map", alt: data.alt });
    place.append(
      E.make("div", { class: "explore-panels explore-two" },
        E.panel("picture", picture), E.panel("painted bias", grid.node),
        E.panel("H-Swish of the features", before), E.panel("H-Swish of features + bias", after)),
      E.scale(YELLOW, 0, TOP, "activation"), E.scale(ORANGE, `−${MOST}`, `+${MOST}`, "bias"),
      brush.node, clear, told, generator);
    draw();
  }

  if (typeof module === "object" && module.exports) module.exports = { adapt, painted, signal, tell };
  else E.register("bias_map", start);
})(globalThis);
