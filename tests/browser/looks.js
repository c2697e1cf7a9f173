// What a reader would see wrong on a page, in words. Loaded into the page by tests/browser/site.py.
window.neurolabLooks = {
  twoFrames: () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))),

  ready: async () => {
    await document.fonts.ready;
    if (window.MathJax?.startup?.promise) await MathJax.startup.promise;
    const waiting = () => document.querySelectorAll(".nl-explorer:not([data-drawn])").length;
    while (waiting()) await new Promise((done) => setTimeout(done, 50));
    await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  },

  picturesWithoutWords: () => {
    const found = [];
    for (const img of document.querySelectorAll("img")) {
      const decoration = img.closest("a, button")?.textContent.trim() && img.getAttribute("alt") === "";
      if (!decoration && (!img.alt.trim() || /[\\/]|\.(png|svg|jpg)$/.test(img.alt))) found.push(img.outerHTML.slice(0, 200));
    }
    for (const svg of document.querySelectorAll("svg")) {
      if (svg.id === "js-plotly-tester" || svg.closest("mjx-container, [role=img][aria-label], [aria-hidden=true]")) continue;
      if (!svg.getAttribute("aria-label") && !svg.querySelector(":scope > title")) found.push(svg.outerHTML.slice(0, 200));
    }
    for (const box of document.querySelectorAll(".nl-figure"))
      if ((box.getAttribute("aria-label") || "").trim().length < 12) found.push(box.outerHTML.slice(0, 200));
    return found;
  },

  badMathematics: () => {
    const found = [];
    for (const box of document.querySelectorAll(".math")) {
      const drawn = box.querySelector("mjx-container svg")?.getBoundingClientRect();
      if (!drawn || drawn.width < 2 || drawn.height < 2) found.push("not drawn: " + box.textContent.slice(0, 80));
      else if (!box.querySelector("mjx-assistive-mml math")) found.push("no MathML: " + box.textContent.slice(0, 80));
    }
    for (const bad of document.querySelectorAll("mjx-merror, [data-mjx-error]")) found.push("error: " + bad.textContent.slice(0, 80));
    const walk = document.createTreeWalker(document.querySelector("article") || document.body, NodeFilter.SHOW_TEXT);
    while (walk.nextNode()) {
      if (walk.currentNode.parentElement.closest("pre, code, script, style, mjx-container")) continue;
      const raw = walk.currentNode.data.match(/\\[([]|\\(frac|sum|sqrt|theta|hat|text)\b|\$\S[^$]*\$/);
      if (raw) found.push("raw TeX: " + walk.currentNode.data.trim().slice(0, 80));
    }
    return found;
  },

  sticksOut: () => {
    const found = [], width = document.documentElement.clientWidth;
    if (document.documentElement.scrollWidth > width) found.push("the page scrolls sideways: " + document.documentElement.scrollWidth);
    const scrolls = (e) => { for (; e && e !== document.body; e = e.parentElement)
      if (/auto|scroll|hidden|clip/.test(getComputedStyle(e).overflowX)) return true; return false; };
    for (const e of document.querySelectorAll("article *")) {
      const box = e.getBoundingClientRect();
      if (box.width > 1 && box.height > 1 && box.right > width + 1 && !scrolls(e)) found.push(e.tagName + "." + e.className);
    }
    return found.slice(0, 8);
  },

  axeFindings: async () => {
    const result = await axe.run(document, { resultTypes: ["violations"] });
    return result.violations.filter((v) => ["serious", "critical"].includes(v.impact)).map((v) =>
      `${v.impact} ${v.id}: ` + v.nodes.slice(0, 4).map((n) => n.target.join(" ") + " | " + (n.any[0]?.message || n.failureSummary || "")).join(" ;; "));
  },
};
