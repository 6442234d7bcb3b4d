// Runs between RequireJS and the widget manager, on pages with saved widgets.
(function () {
  const vendor = new URL("vendor/", document.currentScript.src).href;

  // The icon font stands under vendor/; a widget that is not in the bundle is looked for there, too, and not elsewhere.
  window.requirejs.config({ baseUrl: vendor });
  document.currentScript.setAttribute("data-jupyter-widgets-cdn", vendor);

  // Widgets ask for mathematics in the manner of MathJax 2; the page has MathJax 3.
  document.addEventListener("DOMContentLoaded", function () {
    const MathJax = window.MathJax;
    if (MathJax && MathJax.startup && !MathJax.Hub) {
      MathJax.Hub = {
        Queue: (command) => MathJax.startup.promise.then(() => MathJax.typesetPromise([command[2]])),
      };
    }
  });
})();
