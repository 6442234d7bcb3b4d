// One slide at a time: arrow keys, Page Up and Down, space, Home and End; the address remembers the place.
"use strict";
(() => {
  const slides = [...document.querySelectorAll(".slide")];
  const steps = { ArrowRight: 1, ArrowDown: 1, PageDown: 1, " ": 1, ArrowLeft: -1, ArrowUp: -1, PageUp: -1 };
  let now = 0;

  const show = (place) => {
    slides[now].classList.remove("now");
    now = Math.min(Math.max(place, 0), slides.length - 1);
    slides[now].classList.add("now");
    slides[now].focus({ preventScroll: true });
    document.querySelector("[data-by='-1']").disabled = now === 0;
    document.querySelector("[data-by='1']").disabled = now === slides.length - 1;
    if (location.hash !== `#slide-${now + 1}`) history.replaceState(null, "", `#slide-${now + 1}`);
  };
  const asked = () => (Number(location.hash.replace("#slide-", "")) || 1) - 1;
  const fit = () => {
    const scale = Math.min(innerWidth / 1280, innerHeight / 720);
    document.documentElement.style.setProperty("--scale", scale);
  };

  document.body.classList.add("one-by-one");
  addEventListener("resize", fit);
  addEventListener("hashchange", () => show(asked()));
  addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.key === " " && event.target.closest("a, button")) return; // space presses what has the focus
    const back = event.key === " " && event.shiftKey;
    if (event.key in steps) show(now + (back ? -1 : steps[event.key]));
    else if (event.key === "Home") show(0);
    else if (event.key === "End") show(slides.length - 1);
    else return;
    event.preventDefault();
  });
  for (const button of document.querySelectorAll("nav button")) {
    button.addEventListener("click", () => show(now + Number(button.dataset.by)));
  }
  fit();
  show(asked());
})();
