/* What a decoder of a given size costs: chapter 1, uvlm_mini.npu.show.budget. */
(function (root) {
  "use strict";
  const E = typeof module === "object" ? require("./explore.js") : root.Explore;

  /* chip: { budget_mb, sram_kib, flash_kib } */
  function budget(parametersM, bits, flashMbS, chip) {
    const weightMb = (parametersM * bits) / 8;
    const fitsSram = weightMb * 1e6 <= chip.sram_kib * 1024;
    const stepMs = fitsSram ? 0 : (1000 * weightMb) / flashMbS;
    return {
      weight_mb: weightMb,
      fits_sram: fitsSram,
      fits_budget: weightMb < chip.budget_mb,
      fits_flash: weightMb * 1e6 <= chip.flash_kib * 1024,
      step_ms: stepMs,
      steps_per_s: stepMs ? 1000 / stepMs : Infinity,
    };
  }

  /* The answers in words, a name and a text each. */
  function answers(parametersM, bits, flashMbS, chip) {
    const found = budget(parametersM, bits, flashMbS, chip);
    const fits = (yes) => (yes ? "fits" : "does not fit");
    return [
      ["weights", `${E.general(found.weight_mb, 3)} MB`],
      ["in the on-chip SRAM", found.fits_sram ? "fits, if nothing else needs it" : "does not fit"],
      [`in the paper's ${E.general(chip.budget_mb, 6)} MB`, fits(found.fits_budget)],
      ["in the board's flash", fits(found.fits_flash)],
      ["a step from flash", found.fits_sram ? "not needed: SRAM" : `at least ${E.general(found.step_ms, 3)} ms`],
      ["steps a second", found.fits_sram ? "not bound by flash" : `at most ${E.general(found.steps_per_s, 3)}`],
    ];
  }

  function start(place, data) {
    const shown = E.make("div"), told = E.says(true);
    const size = E.powers("parameters (millions)", {
      min: -1, max: 3, step: 0.002, value: data.parameters_m, show: (v) => E.general(v, 3), changed });
    const bits = E.choice("bits a weight", { options: [2, 4, 8, 16, 32], value: data.bits, changed });
    const flash = E.slider("flash (MB/s)", { min: 50, max: 450, step: 10, value: data.flash_mb_s, changed });

    function changed() {
      const rows = answers(size.value, bits.value, flash.value, data.chip);
      shown.replaceChildren(E.table([], rows));
      told.textContent = `${rows[0][1]} of weights; steps a second: ${rows[5][1]}.`;
    }

    place.append(size.node, bits.node, flash.node, shown, told);
    changed();
  }

  if (typeof module === "object" && module.exports) module.exports = { budget, answers };
  else E.register("budget", start);
})(globalThis);
