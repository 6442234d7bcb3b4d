/* Where the decoder looks as it goes on from each word: chapter 5, uvlm_mini.viz.looks, run when the book was built. */
(function (root) {
  "use strict";
  const E = root.Explore;

  E.register("look", (place, data) => {
    const { signed, features } = E.colors;
    const picture = E.make("img", { class: "explore-map", alt: "" });
    const bias = E.mapCanvas("bias map"), read = E.mapCanvas("where the maxima come from");
    const told = E.says(), list = E.make("select", { id: `${place.dataset.key}-scene`, onchange: scene });
    list.append(...data.scenes.map((one) => E.make("option", { text: one.name })));
    const step = E.slider("step", { min: 1, max: data.scenes[0].steps.length, value: data.first, changed });

    function scene() {
      step.limit(data.scenes[list.selectedIndex].steps.length);
      changed();
    }

    function changed() {
      const one = data.scenes[list.selectedIndex], look = one.steps[step.value - 1];
      picture.src = one.picture;
      picture.alt = `The scene ${one.name}`;
      const caption = one.steps.slice(0, -1).flatMap((s) => [s === look ? E.make("b", { text: s.said }) : s.said, " "]);
      const after = step.value === 1 ? "the first word" : look.heard;
      told.replaceChildren(...caption, E.make("br"), `seen before '${look.said.replace(/[<>]/g, "")}', asked with `,
        step.value === 1 ? after : E.make("b", { text: after }));
      E.drawMap(bias, look.bias, signed, -one.end, one.end); // one scale for all steps of a scene
      E.drawMap(read, look.read, features, 0, 0.5);
    }

    place.append(
      E.make("div", { class: "explore-slider" }, E.make("label", { for: list.id, text: "scene" }), list),
      step.node, told,
      E.make("div", { class: "explore-panels explore-three" }, E.panel("picture", picture), E.panel("bias map", bias),
        E.panel("where the maxima come from", read)),
      E.scale(signed, "held down", "lifted", "bias"), E.scale(features, "0", "0.5", "share of channels"));
    changed();
  });
})(globalThis);
