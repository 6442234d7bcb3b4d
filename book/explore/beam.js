/* What beam search keeps after every step: chapter 0, uvlm_mini.viz.beam_steps, which ran when the book was built. */
(function (root) {
  "use strict";
  const E = root.Explore;

  E.register("beam", (place, data) => {
    const shown = E.make("div"), told = E.says(true);
    const step = E.slider("step", { min: 1, max: data.steps.length, value: data.first, changed });

    function changed() {
      const kept = data.steps[step.value - 1];
      const rows = kept.map(([beginning, score]) => [E.fixed(score, 2), `${beginning} …`]);
      shown.replaceChildren(E.table(["log-probability", "beginning"], rows));
      told.textContent = `The likeliest after ${step.value} ${step.value === 1 ? "step" : "steps"}: ${kept[0][0]}`;
    }

    place.append(step.node, shown, told);
    changed();
  });
})(globalThis);
