/* What a recurrent core weighs: chapter 4, uvlm_mini.viz.core_counts. */
(function (root) {
  "use strict";
  const E = typeof module === "object" ? require("./explore.js") : root.Explore;

  /* Weights by the paper's formulas and in the modules; H, N, r, and the taps of MambaBlock's convolution. */
  function counts(hidden, states, expand, kernel) {
    const inner = expand * hidden, rank = Math.ceil(hidden / 16);
    const linear = hidden * inner; // in_proj, and out_proj
    const core = inner * (rank + 2 * states) + (rank * inner + inner) + inner * states + inner; // x_proj dt_proj A D
    return {
      "LSTM, 8 H²": 8 * hidden ** 2,
      "SSM, 2 r H² + 3 H N": 2 * expand * hidden ** 2 + 3 * hidden * states,
      "LSTM, nn.LSTMCell": 8 * hidden ** 2 + 8 * hidden, // with two constants for each of four gates
      "SSM, SelectiveSSM": 2 * linear + core,
      "SSM with gate and convolution, MambaBlock": 3 * linear + core + inner * kernel + inner,
    };
  }

  function start(place, data) {
    const shown = E.make("div"), told = E.says(true);
    const hidden = E.slider("H, width", { min: 16, max: 1024, step: 16, value: data.hidden, changed });
    const states = E.choice("N, states", { options: [1, 4, 8, 16, 32, 64, 128, 256], value: data.states, changed });
    const expand = E.slider("r, expansion", { min: 1, max: 4, value: data.expand, changed });

    function changed() {
      const found = counts(hidden.value, states.value, expand.value, data.kernel);
      const lstm = found["LSTM, 8 H²"];
      const rows = Object.entries(found).map(([name, n]) => [name, E.grouped(n), E.fixed(n / lstm, 2)]);
      shown.replaceChildren(E.table(["core", "weights", "of 8 H²"], rows));
      told.textContent = `The SSM's module weighs ${E.fixed(found["SSM, SelectiveSSM"] / lstm, 2)} of 8 H².`;
    }

    place.append(hidden.node, states.node, expand.node, shown, told);
    changed();
  }

  if (typeof module === "object" && module.exports) module.exports = { counts };
  else E.register("counts", start);
})(globalThis);
