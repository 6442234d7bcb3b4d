/* The live page: wires the stage to the captioner in its worker, and writes what it says.
 *
 * Only the newest picture is captioned: while the captioner works, what has changed waits, and of many changes the last
 * one counts. `?plain` in the address takes the build without SIMD. */
"use strict";

(function () {
  const place = document.getElementById("live");
  if (!place) return;
  const get = (name) => place.querySelector(`[data-live="${name}"]`);
  const say = (text) => (get("status").textContent = text);
  const make = (tag, about = {}, ...inside) => {
    const made = Object.assign(document.createElement(tag), about);
    made.append(...inside);
    return made;
  };
  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;

  /* Nothing will be captioned: one sentence why, and no controls that would do nothing. */
  function fail(text) {
    say(text);
    get("time").textContent = "";
    place.dataset.failed = "yes";
  }

  if (typeof WebAssembly !== "object") {
    fail("This browser runs no WebAssembly, which the captioner is compiled to; open the page in another one.");
    return;
  }
  if (!window.UVLM) {
    fail("The captioner's data did not come, or came damaged; load the page again.");
    return;
  }

  // ------------------------------------------------------------------------------------------------------------
  // The captioner

  let worker = null, ready = false, busy = false, waiting = false, newest = 0, asked = "";

  /* The build of the captioner that this browser runs, and what else the worker wants. Damaged base64 throws. */
  function parts() {
    const simd = bytes(UVLM.wasm.simd), plain = new URLSearchParams(location.search).has("plain");
    const fast = !plain && WebAssembly.validate(simd);
    place.dataset.build = fast ? "simd" : "plain";
    const about = UVLM.familiarity, numbers = (text) => new Float32Array(bytes(text).buffer);
    const familiarity = { ...about, mean: numbers(about.mean), whiten: numbers(about.whiten) };
    return { wasm: fast ? simd : bytes(UVLM.wasm.plain), blob: bytes(UVLM.blob), beam: 3, familiarity };
  }

  function open() {
    let given;
    try {
      given = parts();
    } catch {
      fail("The captioner's data came damaged; load the page again.");
      return;
    }
    try {
      worker = new Worker(URL.createObjectURL(new Blob([UVLM.worker], { type: "text/javascript" })));
    } catch (error) {
      fail(`This browser starts no worker for a page like this (${error.message}); open it from a server, or in another.`);
      return;
    }
    worker.onerror = (event) => {
      event.preventDefault(); // it is told here, and need not be in the console
      fail(`The captioner stopped: ${event.message || "its worker did not start"}; load the page again.`);
    };
    worker.onmessage = ({ data }) => {
      if (data.opened) opened(data.opened);
      else if (data.refused) fail(`The captioner could not be opened (${data.refused.replace(/\.$/, "")}); load the page again.`);
      else told(data);
    };
    worker.postMessage(given);
  }

  function opened(about) {
    ready = true;
    place.dataset.side = about.side;
    ask();
  }

  function ask() {
    if (!ready) return;
    if (busy) {
      waiting = true;
      return;
    }
    busy = true;
    place.dataset.busy = "yes"; // for whoever waits for the last word
    asked = stage.picture ? stage.name : "This scene";
    worker.postMessage({ id: ++newest, pixels: stage.pixels(Number(place.dataset.side)) });
  }

  function told(data) {
    busy = false;
    if (data.error) say(data.error);
    else write(data);
    place.dataset.busy = "";
    if (waiting) {
      waiting = false;
      ask();
    }
  }

  // ------------------------------------------------------------------------------------------------------------
  // What it says

  let timer = 0;

  /* The command line's sentence on a picture that is unlike what the model was trained on. */
  function warn(strange) {
    const said = { "{name}": asked, "{times:.1f}": strange.toFixed(1) };
    const text = strange > 1 ? UVLM.familiarity.sentence.replace(/\{[^}]*\}/g, (gap) => said[gap]) : "";
    if (get("warning").textContent !== text) get("warning").textContent = text; // else it is read out again
    place.dataset.strange = strange;
  }

  function write({ found, words, maps, ms, strange }) {
    clearTimeout(timer);
    warn(strange);
    const line = get("caption");
    const spans = words.map((word, i) => {
      const button = make("button", { type: "button", textContent: word, className: "live-word" });
      button.addEventListener("pointerenter", () => look(maps[i]));
      button.addEventListener("focus", () => look(maps[i]));
      for (const end of ["pointerleave", "blur"]) button.addEventListener(end, () => look(null));
      return button;
    });
    line.replaceChildren(...spans);
    get("told").textContent = words.join(" ");
    const most = Math.max(...found.map((each) => each.score));
    get("beams").replaceChildren(...found.map(({ text, score }) => {
      const share = 2 ** (score / 65536), bar = make("span", { className: "live-bar" });
      bar.style.width = `${100 * 2 ** ((score - most) / 65536)}%`;
      return make("li", {}, bar, make("span", { textContent: text }), make("small", { textContent: ` ${(100 * share).toPrecision(2)} %` }));
    }));
    get("time").textContent = `${ms.toFixed(0)} ms, ${place.dataset.build === "simd" ? "with" : "without"} SIMD`;
    place.dataset.first ||= Math.round(performance.now()); // ms since the page was asked for
    place.dataset.captions = Number(place.dataset.captions || 0) + 1;
    if (!calm && !dragging()) reveal(spans, maps, 0);
    else look(null);
  }

  const dragging = () => waiting || busy;

  /* Word by word, each with the map that was before the decoder's eyes. */
  function reveal(spans, maps, i) {
    spans.forEach((span, k) => span.classList.toggle("live-later", k > i));
    look(i < spans.length ? maps[i] : null);
    if (i < spans.length) timer = setTimeout(() => reveal(spans, maps, i + 1), 110);
  }

  /* A bias map over the picture: the more the map raises a place, the brighter it stays. */
  function look(map) {
    const veil = get("veil"), side = map ? Math.round(Math.sqrt(map.length)) : 1;
    veil.width = veil.height = side;
    if (!map) return;
    const context = veil.getContext("2d"), image = context.createImageData(side, side);
    const least = Math.min(...map), spread = Math.max(...map) - least || 1;
    map.forEach((value, p) => image.data.set([8, 10, 24, 215 * (1 - (value - least) / spread)], 4 * p));
    context.putImageData(image, 0, 0);
  }

  // ------------------------------------------------------------------------------------------------------------
  // The stage and what surrounds it

  const drawing = new Drawing(UVLM.drawing);
  const { kinds, colors, backgrounds } = UVLM.drawing;
  const given = { color: "red", size: "large" };
  const stage = new Stage(get("stage"), drawing, () => {
    say("");
    follow();
    ask();
  });

  /* The controls show what is chosen. */
  function follow() {
    const thing = stage.thing;
    if (thing) Object.assign(given, { color: thing.color, size: thing.size });
    for (const input of place.querySelectorAll("input[type=radio]")) input.checked = input.value === given[input.name.slice(5)];
    get("background").value = stage.scene.background;
    get("remove").disabled = !thing;
    place.dataset.scene = JSON.stringify(stage.scene);
    const named = stage.scene.things.map((t, i) => `${t.color} ${t.kind}${i === stage.chosen ? " (chosen)" : ""}`);
    get("stage").setAttribute("aria-label", stage.picture ? "Your picture" : `Scene: ${named.join(", ") || "empty"} in the ${stage.scene.background}`);
  }

  function icon(kind) {
    const side = 32, canvas = make("canvas", { width: side, height: side });
    canvas.setAttribute("aria-hidden", "true");
    const rgb = new Uint8Array(side * side * 3).fill(255), context = canvas.getContext("2d");
    drawing.paint(rgb, side, kind, colors.blue, 0, 0, side, false);
    const image = context.createImageData(side, side);
    for (let p = 0; p < side * side; p++) image.data.set([rgb[3 * p], rgb[3 * p + 1], rgb[3 * p + 2], 255], 4 * p);
    context.putImageData(image, 0, 0);
    return canvas;
  }

  function controls() {
    for (const kind of Object.keys(kinds)) {
      const button = make("button", { type: "button", title: kind, className: "live-kind" }, icon(kind));
      button.setAttribute("aria-label", `Add: ${kind}`);
      button.addEventListener("click", () => {
        if (!stage.add(kind, given.color, given.size)) say(`There is no room for another thing (at most ${Stage.MOST}); remove one.`);
      });
      get("kinds").append(button);
    }
    for (const [color, rgb] of Object.entries(colors)) {
      const input = make("input", { type: "radio", name: "live-color", value: color });
      const swatch = make("span", { className: "live-swatch" });
      swatch.style.background = `rgb(${rgb})`;
      input.addEventListener("change", () => stage.change({ color: (given.color = color) }));
      get("colors").append(make("label", { title: color }, input, swatch, make("span", { className: "live-hidden", textContent: color })));
    }
    for (const size of ["small", "large"]) {
      const input = make("input", { type: "radio", name: "live-size", value: size });
      input.addEventListener("change", () => stage.change({ size: (given.size = size) }));
      get("sizes").append(make("label", {}, input, ` ${size}`));
    }
    for (const name of Object.keys(backgrounds)) get("background").append(make("option", { value: name, textContent: name }));
    get("background").addEventListener("change", (event) => {
      Object.assign(stage.scene, { background: event.target.value, variant: 0 });
      stage.show(null);
    });
    get("another").addEventListener("click", () => stage.compose());
    get("clear").addEventListener("click", () => stage.clear());
    get("remove").addEventListener("click", () => stage.remove());
    get("file").addEventListener("change", (event) => picture(event.target.files[0]));
    for (const name of ["dragover", "drop"]) place.addEventListener(name, (event) => event.preventDefault());
    place.addEventListener("drop", (event) => picture(event.dataTransfer.files[0]));
  }

  let lastGiven = 0;

  /* Shows a file; of several that are being read, the last one given. */
  async function picture(file) {
    if (!file) return;
    const number = ++lastGiven;
    say(`${file.name} is being read.`);
    try {
      const read = await readPicture(file);
      if (number === lastGiven) stage.show(read, file.name);
      else read.close();
    } catch (error) {
      if (number === lastGiven) say(error.message);
    }
  }

  controls();
  stage.compose();
  open();
})();
