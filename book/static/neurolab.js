// The book's small script: the mathematics' start, boxes that scroll, chapter numbers in the road.
// Runs before MathJax, which is deferred.
(() => {
  "use strict";

  // MathJax's assistive MathML switches on an option of its menu, which this book does not load.
  const config = (window.MathJax = window.MathJax || {});
  config.startup = {
    ready() {
      if (window.MathJax.config.options) delete window.MathJax.config.options.menuOptions;
      window.MathJax.startup.defaultReady();
    },
  };

  // Opened from the disk, a page may not read the others: the search then lists titles without excerpts.
  if (location.protocol === "file:" && typeof DOCUMENTATION_OPTIONS !== "undefined") {
    DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
  }

  // A box that scrolls sideways can be reached and named from the keyboard.
  const boxes = ".pst-scrollable-table-container, .cell_output > .output, .bd-article pre, div.math, mjx-container[display=true]";
  const reachable = () => {
    for (const box of document.querySelectorAll(boxes)) {
      const scrolls = box.scrollWidth > box.clientWidth + 1 || box.scrollHeight > box.clientHeight + 1;
      if (scrolls && !box.hasAttribute("tabindex")) {
        box.tabIndex = 0;
        box.dataset.scrolls = "";
      } else if (!scrolls && "scrolls" in box.dataset) {
        box.removeAttribute("tabindex");
        delete box.dataset.scrolls;
      }
    }
  };
  // A summary is named by its own words; the toggle's script names them all alike.
  const named = () => document.querySelectorAll("summary[aria-label]").forEach((one) => one.removeAttribute("aria-label"));
  addEventListener("load", reachable);
  addEventListener("load", named);
  addEventListener("resize", reachable);
})();
