/* What a network's time is made of on the STM32N657: chapter 1, uvlm_mini.npu.latency. */
(function (root) {
  "use strict";
  const E = typeof module === "object" ? require("./explore.js") : root.Explore;
  const PARTS = ["flash", "npu", "cpu", "external"];

  /* Time of a layer { macs, values } on the NPU, in ms; c: the model's constants, and cpu_mhz. */
  function layerMs(layer, c) {
    const moving = layer.values / (layer.macs ? c.product_gv_s : c.element_gv_s);
    return Math.max(layer.macs / c.npu_gmac_s, moving) / 1e6;
  }

  /* Milliseconds by what takes them; work: { weight_bytes, layers, software, cycles, external_bytes }. */
  function predict(work, c) {
    return {
      flash: work.weight_bytes / c.flash_mb_s / 1e3,
      npu: work.layers.reduce((sum, layer) => sum + layerMs(layer, c), 0),
      cpu: (work.software * c.software_cycles + work.cycles) / c.cpu_mhz / 1e3,
      external: (work.external_bytes / 1e6) * c.external_ms_mb,
    };
  }

  /* A network as the sliders give it: MB, multiply-adds a byte, millions of values, thousands of values, MB. */
  function workOf(mb, uses, moved, software, outside) {
    const layers = [{ macs: E.rint(mb * 1e6 * uses), values: E.rint(moved * 1e6) }];
    return { weight_bytes: mb * 1e6, layers, software: software * 1e3, cycles: 0, external_bytes: outside * 1e6 };
  }

  function start(place, data) {
    const shown = E.make("div"), told = E.says(true);
    const plain = (label, value, max, step, digits) =>
      E.slider(label, { min: 0, max, step, value, show: (v) => E.fixed(v, digits), changed });
    const sliders = [
      plain("weights (MB)", data.megabytes, 32, 0.1, 1),
      E.powers("multiply-adds a byte", {
        min: 0, max: 3.5, step: 0.01, value: data.uses, show: (v) => E.general(v, 3), changed }),
      plain("values moved (millions)", 0, 150, 1, 0),
      plain("values in software (thousands)", data.software, 120, 1, 0),
      plain("MB of maps off the chip", 0, 8, 0.1, 1),
    ];

    function changed() {
      const times = predict(workOf(...sliders.map((one) => one.value)), data.constants);
      const sum = PARTS.reduce((all, part) => all + times[part], 0);
      const most = PARTS.reduce((best, part) => (times[part] > times[best] ? part : best));
      const rows = PARTS.map((part) => {
        const share = sum ? times[part] / sum : 0;
        const bar = E.make("span", { class: "explore-part", style: `width: ${65 * share}%` });
        const says = part === most && sum ? " takes most" : "";
        const shared = E.make("div", { class: "explore-share" }, bar, says);
        return [data.parts[part], `${E.fixed(times[part], 2)} ms`, shared];
      });
      shown.replaceChildren(E.table([], [...rows, ["sum", `${E.fixed(sum, 2)} ms`, ""]]));
      told.textContent = `${E.fixed(sum, 2)} ms in all; ${data.parts[most]} takes most.`;
    }

    place.append(...sliders.map((one) => one.node), shown, told);
    changed();
  }

  if (typeof module === "object" && module.exports) module.exports = { predict, workOf };
  else E.register("latency", start);
})(globalThis);
