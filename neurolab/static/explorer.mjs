// The explorer: a figure that follows its controls. One module for the notebook (through anywidget, asking the
// kernel) and for a static page (reading a grid that the page carries). No other library than Plotly, loaded once.

// neurolab.figures.COLOURS that a theme replaces: the ink is its text colour, the blue is too dark on a dark page.
const SWAPS = { "#1b1f24": "--nl-ink", "#0072b2": "--nl-blue" };
const DESCRIBE = "describe()";
const TYPES = {
  u1: Uint8Array, i1: Int8Array, u2: Uint16Array, i2: Int16Array,
  u4: Uint32Array, i4: Int32Array, f4: Float32Array, f8: Float64Array,
};
const CONFIG = { displayModeBar: false, doubleClick: "reset", showTips: false };
const REST = 250; // ms without a move after which Plotly takes over from the sketch
let count = 0; // for ids that are unique in the page

// ---- small helpers ------------------------------------------------------------------------------------------

function make(tag, className, parent, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  if (parent) parent.append(node);
  return node;
}

function shown(value, unit) {
  const text = String(value).replace(/^-/, "\u2212");
  return unit ? text + (unit === "%" || unit === "°" ? "" : "\u00a0") + unit : text;
}

function product(shape) {
  return shape.reduce((all, one) => all * one, 1);
}

// Numbers in row-major order -> what Plotly takes: a typed array, or lists of them for a matrix or a picture.
function nested(flat, shape) {
  if (shape.length === 0) return flat[0];
  if (shape.length === 1) return flat;
  const step = product(shape.slice(1));
  const rows = [];
  for (let i = 0; i < shape[0]; i++) {
    const row = flat.subarray(i * step, (i + 1) * step);
    rows.push(shape.length === 2 ? row : nested(row, shape.slice(1)));
  }
  return rows;
}

// "marker.color", "annotations[0].text": put a value at that place, making what is missing on the way.
function put(thing, path, value) {
  const steps = path.replace(/\[(\d+)\]/g, ".$1").split(".");
  const last = steps.pop();
  for (let i = 0; i < steps.length; i++) {
    if (thing[steps[i]] == null || typeof thing[steps[i]] !== "object") {
      thing[steps[i]] = /^\d+$/.test(steps[i + 1] ?? last) ? [] : {};
    }
    thing = thing[steps[i]];
  }
  thing[last] = value;
}

// ---- the grid of a static page (neurolab/grids.py packs it) ---------------------------------------------------

async function inflate(base64) {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// Undo the byte order and the differences of one key's codes. Unsigned arrays wrap round by themselves.
function codesOf(bytes, spec) {
  const width = bytes[0];
  const length = (bytes.length - 1) / width;
  const codes = new { 1: Uint8Array, 2: Uint16Array, 4: Uint32Array }[width](length);
  for (let plane = 0; plane < width; plane++) {
    const start = 1 + plane * length;
    for (let i = 0; i < length; i++) codes[i] += bytes[start + i] * 2 ** (8 * plane);
  }
  if (spec.mode === "before") {
    const row = product(spec.shapes[0]);
    for (let i = row; i < length; i++) codes[i] += codes[i - row];
  }
  for (let pass = { once: 1, twice: 2 }[spec.mode] ?? 0; pass > 0; pass--) {
    for (let i = 1; i < length; i++) codes[i] += codes[i - 1];
  }
  return codes;
}

function numbersOf(codes, spec) {
  if (spec.kind === "float") {
    return new Float32Array(Uint32Array.from(codes, (code) => code << spec.drop).buffer);
  }
  const scale = Number(`1e${Math.abs(spec.exponent)}`);
  const numbers = new Float64Array(codes.length);
  for (let i = 0; i < codes.length; i++) {
    const ticks = codes[i] + spec.base;
    numbers[i] = codes[i] === spec.hole ? NaN : spec.exponent >= 0 ? ticks * scale : ticks / scale;
  }
  return numbers;
}

// Packed grid -> {count, at(number) -> {key: value}}.
export async function decodeGrid(packed) {
  const bytes = await inflate(packed.blob);
  const readers = {};
  for (const [key, spec] of Object.entries(packed.keys)) {
    if (spec.kind === "plain") {
      readers[key] = (number) => spec.values[spec.index[number]];
      continue;
    }
    const codes = codesOf(bytes.subarray(spec.bytes[0], spec.bytes[0] + spec.bytes[1]), spec);
    const many = spec.index.reduce((top, one) => Math.max(top, one), 0) + 1;
    const shapes = spec.shapes.length === 1 ? Array(many).fill(spec.shapes[0]) : spec.shapes;
    const starts = [0];
    for (const shape of shapes) starts.push(starts[starts.length - 1] + product(shape));
    readers[key] = (number) => {
      const which = spec.index[number];
      return nested(numbersOf(codes.subarray(starts[which], starts[which + 1]), spec), shapes[which]);
    };
  }
  const at = (number) => Object.fromEntries(Object.entries(readers).map(([key, read]) => [key, read(number)]));
  return { count: packed.count, at };
}

// ---- Plotly, once per page ------------------------------------------------------------------------------------

function plotlyOnce(load) {
  const page = globalThis;
  page.neurolabPlotly ??= load().catch((error) => {
    page.neurolabPlotly = undefined; // so that the next explorer tries again
    throw error;
  });
  return page.neurolabPlotly;
}

// In a notebook the kernel sends the bundle, compressed; it runs as a module, whatever loader the page has.
async function plotlyFromBytes(view) {
  const stream = new Blob([view]).stream().pipeThrough(new DecompressionStream("gzip"));
  return plotlyFromText(await new Response(stream).text());
}

async function plotlyFromText(text) {
  const source = `const module = { exports: {} };\n${text}\nexport default module.exports;`;
  const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  try {
    return (await import(/* webpackIgnore: true */ url)).default;
  } finally {
    URL.revokeObjectURL(url);
  }
}

// `neurolab lab` serves the bundle as well, for notebooks that are opened again without their kernel.
async function plotlyFromServer() {
  const page = JSON.parse(document.getElementById("jupyter-config-data")?.textContent ?? "{}");
  const answer = await fetch(`${page.baseUrl ?? "/"}static/plotly-cartesian.min.js`);
  if (!answer.ok) throw new Error(`the server has no Plotly (${answer.status})`);
  return plotlyFromText(await answer.text());
}

function plotlyFromScript(base) {
  return new Promise((resolve, reject) => {
    const script = make("script");
    script.src = new URL("plotly-cartesian.min.js", base).href;
    script.onload = () => resolve(globalThis.Plotly);
    script.onerror = () => reject(new Error(`could not load ${script.src}`));
    document.head.append(script);
  });
}

// ---- a sketch: new lines on the old axes ----------------------------------------------------------------------

// Plotly lays a figure out anew for every change, which costs more than a frame. While a slider moves it is enough
// to stroke the lines again, at the very places where Plotly would; when the slider rests, Plotly follows. Only plain
// lines on axes that cannot change are sketched; anything else (or a doubt) is left to Plotly: returns false.
function sketch(figure, changes, data) {
  const full = figure._fullData;
  const strokes = new Map();
  for (const [place, path] of changes) {
    const trace = full?.[place];
    if (!trace || (path !== "x" && path !== "y") || trace.type !== "scatter" || trace.mode !== "lines") return false;
    if (trace.visible !== true || (trace.fill && trace.fill !== "none") || trace.stackgroup) return false;
    if (trace.line.shape !== "linear" || trace.error_x?.visible || trace.error_y?.visible) return false;
    const axes = { x: figure._fullLayout[`xaxis${trace.xaxis.slice(1)}`], y: figure._fullLayout[`yaxis${trace.yaxis.slice(1)}`] };
    if (!axes[path] || axes[path].autorange !== false) return false;
    if (![axes.x, axes.y].every((axis) => axis?.type === "linear" || axis?.type === "log")) return false;
    strokes.set(place, axes);
  }
  const drawn = [];
  for (const [place, axes] of strokes) {
    const lines = figure.querySelectorAll(`.scatterlayer .trace${full[place].uid} .js-line`);
    const { x0 = 0, dx = 1 } = full[place];
    // A list that does not follow the controls may stand in `data` in its packed form: Plotly has unpacked it.
    const [x, y] = ["x", "y"].map((path) => (ArrayBuffer.isView(data[place][path]) ? data[place] : full[place])[path]);
    if (!lines.length || !y?.length || (x && x.length !== y.length)) return false;
    drawn.push([lines, stroke(y, (i) => axes.x.c2p(x ? x[i] : x0 + i * dx), axes.y)]);
  }
  for (const [[first, ...others], path] of drawn) {
    first.setAttribute("d", path);
    for (const other of others) other.setAttribute("d", "M0,0");
  }
  return drawn.length > 0;
}

function stroke(y, across, axis) {
  let path = "";
  let pen = "M";
  for (let i = 0; i < y.length; i++) {
    const left = across(i);
    const down = axis.c2p(y[i]);
    if (Number.isFinite(left) && Number.isFinite(down)) {
      path += pen + Math.round(left * 100) / 100 + "," + Math.round(down * 100) / 100;
      pen = "L";
    } else pen = "M"; // a gap
  }
  return path || "M0,0";
}

// ---- the view: controls, figure, sentences --------------------------------------------------------------------

class View {
  // source: {values, plotly() -> promise, move(values), waiting() -> bool}
  constructor(root, spec, source) {
    this.root = root;
    this.spec = spec;
    this.source = source;
    this.setters = {};
    // A notebook gives every widget its own copy of this module, so that counting alone would repeat ids, and
    // two choices of one name on a page would switch each other off.
    this.id = `nl-${++count}-${Math.random().toString(36).slice(2, 10)}`;
    this.stop = new AbortController();
    root.replaceChildren();
    root.classList.add("nl-explorer");
    if (spec.title) make("div", "nl-title", root, spec.title);
    if (spec.controls.length) this.buildControls(make("div", "nl-controls", root));
    this.figure = make("div", "nl-figure", root);
    this.figure.style.minHeight = `${spec.figure.layout.height ?? 380}px`;
    this.figure.setAttribute("role", "img");
    this.figure.setAttribute("aria-label", spec.alt);
    this.message = make("p", "nl-message", root);
    this.message.setAttribute("role", "alert");
    this.message.hidden = true;
    this.sentence = make("p", "nl-sentence", root, spec.describe);
    this.sentence.hidden = !spec.describe;
    this.spoken = make("p", "nl-spoken", root);
    this.spoken.setAttribute("aria-live", "polite");
    if (spec.caption) {
      make("p", "nl-caption", root, spec.caption).id = `${this.id}-caption`;
      this.figure.setAttribute("aria-describedby", `${this.id}-caption`);
    }
    this.data = structuredClone(spec.figure.data);
    this.layout = structuredClone(spec.figure.layout);
    delete this.layout.width;
    this.layout.autosize = true;
    this.layout.dragmode ??= false; // a finger on the figure scrolls the page
    const legend = this.layout.showlegend ?? this.data.length > 1;
    this.layout.margin = { t: (this.layout.title?.text ? 44 : 16) + (legend ? 24 : 0), ...this.layout.margin };
    this.inks = [];
    this.findInk(this.data);
    this.findInk(this.layout);
  }

  buildControls(parent) {
    for (const control of this.spec.controls) {
      const build = control.kind === "range" ? this.buildRange : this.buildChoice;
      this.setters[control.name] = build.call(this, control, parent, `${this.id}-${control.name}`);
    }
    for (const input of parent.querySelectorAll("input, select")) {
      input.dataset.lmSuppressShortcuts = "true"; // its keys are its own, not JupyterLab's; on each element, as Lumino asks
    }
    this.setControls(this.source.values);
  }

  buildRange(control, parent, id) {
    const box = make("div", "nl-control", parent);
    const label = make("label", "nl-label", box, control.label);
    label.htmlFor = id;
    const output = make("output", "nl-value", box);
    output.htmlFor = id;
    output.setAttribute("aria-live", "off"); // the slider itself speaks its value
    const input = make("input", "nl-range", box);
    Object.assign(input, { type: "range", id, min: 0, max: control.values.length - 1, step: 1 });
    const show = () => {
      const text = shown(control.values[input.value], control.unit);
      output.textContent = text;
      input.setAttribute("aria-valuetext", text);
      input.style.setProperty("--nl-fill", `${(100 * input.value) / input.max}%`);
    };
    const move = () => {
      show();
      this.moved(control.name, control.values[input.value]);
    };
    input.addEventListener("input", move);
    if (control.play) this.buildPlay(control, box, input, move);
    return (value) => {
      input.value = control.values.indexOf(value);
      show();
    };
  }

  // A button that moves the slider by itself, round and round, until it is pressed again or the slider is touched.
  // A step is left out while the last one is still being answered or drawn, or while nobody can see the page.
  buildPlay(control, box, input, move) {
    const button = make("button", "nl-play", box, "Play");
    button.type = "button";
    box.classList.add("nl-plays");
    let clock;
    const rest = () => {
      clearInterval(clock);
      clock = undefined;
      button.textContent = "Play";
    };
    const step = () => {
      if (document.hidden || this.source.sentAt || this.drawing || !this.ready) return;
      input.value = (Number(input.value) + 1) % control.values.length;
      move();
    };
    button.addEventListener("click", () => {
      if (clock) return rest();
      button.textContent = "Stop";
      clock = setInterval(step, 1000 / control.play);
      step();
    });
    input.addEventListener("pointerdown", rest);
    input.addEventListener("keydown", rest);
    this.stop.signal.addEventListener("abort", rest);
  }

  buildChoice(control, parent, id) {
    const box = make("fieldset", "nl-control nl-choice", parent);
    make("legend", "nl-label", box, control.label);
    if (control.values.length > 6) {
      const select = make("select", "nl-select", box);
      select.setAttribute("aria-label", control.label);
      control.values.forEach((value, i) => (make("option", "", select, shown(value, control.unit)).value = i));
      select.addEventListener("change", () => this.moved(control.name, control.values[select.value]));
      return (value) => (select.value = control.values.indexOf(value));
    }
    const row = make("div", "nl-options", box);
    const inputs = control.values.map((value) => {
      const label = make("label", "nl-option", row);
      const input = make("input", "", label);
      Object.assign(input, { type: "radio", name: id });
      make("span", "", label, shown(value, control.unit));
      input.addEventListener("change", () => this.moved(control.name, value));
      return input;
    });
    return (value) => inputs.forEach((input, i) => (input.checked = control.values[i] === value));
  }

  setControls(values) {
    for (const [name, set] of Object.entries(this.setters)) set(values[name]);
  }

  moved(name, value) {
    clearTimeout(this.rest);
    this.restLater();
    this.source.move({ ...this.source.values, [name]: value });
  }

  // -- drawing

  async open() {
    this.Plotly = await this.source.plotly();
    if (this.stop.signal.aborted) return;
    this.theme();
    if (this.result) this.apply(this.result);
    await this.Plotly.newPlot(this.figure, this.data, this.layout, CONFIG);
    this.ready = true;
    this.mark(this.source.drawn);
    this.follow();
  }

  // A result came: put its values where `changes` says and let Plotly redraw what differs.
  async draw(result, sentence, values) {
    this.result = result;
    this.say(sentence);
    if (!this.ready) return;
    this.drawing = true;
    try {
      this.apply(result);
      clearTimeout(this.rest);
      if (sketch(this.figure, this.spec.changes, this.data)) this.rest = setTimeout(() => this.settle(), REST);
      else await this.react();
      this.fail("");
      this.mark(values);
    } catch (error) {
      this.fail(String(error));
    } finally {
      this.drawing = false;
    }
  }

  react() {
    return this.Plotly.react(this.figure, this.data, this.layout, CONFIG);
  }

  restLater() {
    if (this.rest) this.rest = setTimeout(() => this.settle(), REST);
  }

  // The slider rests after sketches: Plotly takes over the new data (hover, later zooms), unless an answer is due.
  async settle() {
    if (this.stop.signal.aborted) return;
    if (this.source.sentAt) this.rest = setTimeout(() => this.settle(), REST);
    else await this.react().catch((error) => this.fail(String(error)));
  }

  apply(result) {
    for (const [place, path, key] of this.spec.changes) {
      const thing = place === "layout" ? this.layout : this.data[place];
      put(thing, path, this.inked(result[key]));
    }
  }

  // What the figure now shows, for tests and for the latency benchmark.
  mark(values) {
    this.root.dataset.drawn = JSON.stringify(values);
  }

  say(sentence) {
    if (sentence === undefined) return;
    this.sentence.textContent = sentence;
    this.sentence.hidden = !sentence;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => (this.spoken.textContent = sentence), 600);
  }

  fail(text) {
    if (this.message.textContent !== text) this.message.textContent = text;
    this.message.hidden = !text;
    this.figure.classList.toggle("nl-stale", Boolean(text));
  }

  wait(on) {
    this.root.classList.toggle("nl-waiting", on);
    this.root.setAttribute("aria-busy", String(on));
  }

  // -- theme and size

  findInk(thing) {
    for (const [key, value] of Object.entries(thing)) {
      if (typeof value === "string") {
        if (value.toLowerCase() in SWAPS) this.inks.push([thing, key, value]);
      } else if (value && typeof value === "object" && !ArrayBuffer.isView(value)) this.findInk(value);
    }
  }

  inked(value) {
    const one = (text) => (typeof text === "string" ? (this.swaps[text.toLowerCase()] ?? text) : text);
    return Array.isArray(value) && typeof value[0] === "string" ? value.map(one) : one(value);
  }

  theme() {
    const style = getComputedStyle(this.root);
    const colour = (name) => style.getPropertyValue(name).trim();
    const [ink, muted, grid, ground] = ["--nl-ink", "--nl-muted", "--nl-grid", "--nl-ground"].map(colour);
    const axis = {
      gridcolor: grid, linecolor: muted, tickcolor: muted, zerolinecolor: grid, zerolinewidth: 1,
      tickfont: { color: muted }, title: { font: { color: ink }, standoff: 10 }, automargin: true,
    };
    const bar = { outlinewidth: 0, tickfont: { color: muted }, thickness: 14 };
    const maps = [{ colorbar: bar }];
    this.layout.template = {
      layout: {
        font: { family: style.fontFamily, size: 13, color: ink },
        title: {
          font: { size: 15, color: ink }, x: 0, xref: "paper", xanchor: "left",
          y: 1, yref: "container", yanchor: "top", pad: { t: 12 },
        },
        paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
        legend: { font: { color: ink }, bgcolor: "rgba(0,0,0,0)" },
        hoverlabel: { bgcolor: ground, bordercolor: grid, font: { color: ink } },
        annotationdefaults: { font: { color: ink }, arrowcolor: muted },
        coloraxis: { colorbar: bar }, xaxis: axis, yaxis: axis,
      },
      data: { heatmap: maps, contour: maps, histogram2d: maps },
    };
    this.swaps = Object.fromEntries(Object.entries(SWAPS).map(([name, variable]) => [name, colour(variable)]));
    for (const [thing, key, name] of this.inks) thing[key] = this.inked(name);
    return JSON.stringify([ink, muted, grid, ground]);
  }

  follow() {
    let colours = this.theme();
    const restyle = () => {
      const now = this.theme();
      if (now === colours) return;
      colours = now;
      if (this.result) this.apply(this.result);
      this.react();
    };
    const later = () => {
      restyle();
      setTimeout(restyle, 400); // a theme's style sheet may arrive after its name
    };
    const watch = new MutationObserver(later);
    const options = { attributes: true, attributeFilter: ["data-theme", "data-jp-theme-light", "class", "data-vscode-theme-kind"] };
    watch.observe(document.documentElement, options);
    watch.observe(document.body, options);
    const dark = matchMedia("(prefers-color-scheme: dark)");
    dark.addEventListener("change", later, { signal: this.stop.signal });
    let width = this.figure.clientWidth;
    const size = new ResizeObserver(() => {
      if (!this.figure.clientWidth || this.figure.clientWidth === width) return;
      width = this.figure.clientWidth;
      this.Plotly.Plots.resize(this.figure);
    });
    size.observe(this.figure);
    this.stop.signal.addEventListener("abort", () => {
      watch.disconnect();
      size.disconnect();
      clearTimeout(this.timer);
      clearTimeout(this.rest);
      this.Plotly.purge(this.figure);
    });
  }

  close() {
    this.stop.abort();
  }
}

// ---- live: the kernel answers ---------------------------------------------------------------------------------

const PATIENCE = 10_000; // ms after which a move that was never answered no longer holds up the next one

// anywidget gives a module two seconds from the model's birth; later, it drops every message to that model for good
// ("Failed to initialize model"). A notebook reopened on a busy machine takes longer, and its slider would be dead.
// By the time this runs the module is here: take the comm's messages without that gate.
async function keepListening(model) {
  const raw = await model.widget_manager.get_model(model.get("_comm_id"));
  const widgetModel = Object.getPrototypeOf(Object.getPrototypeOf(raw)); // DOMWidgetModel.prototype, above AnyModel
  if (!raw.comm || typeof widgetModel._handle_comm_msg !== "function") return;
  raw.comm.on_msg((message) => widgetModel._handle_comm_msg.call(raw, message));
}

class Live {
  constructor(model) {
    this.model = model;
    this.spec = model.get("_spec");
    this.values = Object.fromEntries(this.spec.controls.map((control) => [control.name, control.value]));
    this.drawn = this.values;
    this.who = Math.random().toString(36).slice(2);
    this.seq = 0;
    this.held = {}; // key -> last array, for results that say "same"
    this.views = new Set();
    model.on("msg:custom", (content, buffers) => this.receive(content, buffers));
    keepListening(model)
      .catch((error) => console.debug("[neurolab] messages stay with anywidget:", error))
      .finally(() => this.hello());
  }

  hello() {
    this.model.send({ kind: "hello", who: this.who });
  }

  plotly() {
    return plotlyOnce(
      () =>
        new Promise((resolve, reject) => {
          const late = setTimeout(() => reject(new Error("The kernel did not send Plotly.")), 120_000);
          setTimeout(() => this.bundle && plotlyFromServer().then(resolve, () => {}), 3_000);
          this.bundle = (view) => {
            clearTimeout(late);
            plotlyFromBytes(view).then(resolve, reject);
          };
          this.model.send({ kind: "plotly" });
        }),
    );
  }

  // One request at a time: while one is under way, only the newest position is remembered.
  move(values) {
    this.values = values;
    this.waiting = true;
    if (this.sentAt && performance.now() - this.sentAt < PATIENCE) this.again = true;
    else this.ask();
  }

  ask() {
    this.again = false;
    this.sentAt = performance.now();
    clearTimeout(this.slow);
    this.slow = setTimeout(() => this.views.forEach((view) => view.wait(true)), 1000);
    try {
      this.model.send({ kind: "move", who: this.who, seq: ++this.seq, values: this.values });
    } catch (error) {
      this.views.forEach((view) => view.fail(`The kernel is not there (${error.message}). Run the cell again.`));
    }
  }

  receive(content, buffers) {
    if (content.kind === "plotly") {
      this.bundle?.(buffers[0]);
      this.bundle = undefined;
      return;
    }
    if (content.kind !== "result" && content.kind !== "error") return;
    const mine = content.who === this.who;
    const result = content.kind === "result" ? this.read(content.entries, buffers) : null;
    if (content.kind === "result" && !result) return this.hello();
    if (mine && content.seq) {
      if (content.seq !== this.seq) return; // an older question's answer
      this.sentAt = 0;
      clearTimeout(this.slow);
      if (this.again) this.ask(); // the kernel computes the next one while this one is drawn
      this.views.forEach((view) => view.wait(false));
    } else {
      if (this.sentAt || (mine && this.seq)) return; // the reader is moving: their position counts
      this.values = content.values;
      this.views.forEach((view) => view.setControls(this.values));
    }
    if (!result) return this.views.forEach((view) => view.fail(content.text));
    this.result = result;
    this.sentence = content.describe;
    this.drawn = content.values;
    this.views.forEach((view) => view.draw(result, content.describe, content.values));
  }

  // Entries -> {key: value}; undefined when "same" names an array that this page never had.
  read(entries, buffers) {
    const result = {};
    for (const entry of entries) {
      if (entry.same && !(entry.key in this.held)) return undefined;
      if (entry.same === false) {
        const view = buffers[entry.buffer];
        const bytes = (view.buffer ?? view).slice(view.byteOffset ?? 0, (view.byteOffset ?? 0) + view.byteLength);
        this.held[entry.key] = nested(new TYPES[entry.dtype](bytes), entry.shape);
      }
      result[entry.key] = "same" in entry ? this.held[entry.key] : entry.value;
    }
    return result;
  }
}

export default () => {
  let live;
  return {
    initialize({ model }) {
      live = new Live(model);
    },
    render({ el }) {
      const view = new View(make("div", "", el), live.spec, live);
      if (live.result) view.draw(live.result, live.sentence, live.drawn);
      live.views.add(view);
      view.open().catch((error) => view.fail(String(error)));
      return () => {
        live.views.delete(view);
        view.close();
      };
    },
  };
};

// ---- static: the page answers ---------------------------------------------------------------------------------

class Page {
  constructor(spec, grid, base) {
    this.spec = spec;
    this.grid = grid;
    this.base = base;
    this.values = Object.fromEntries(spec.controls.map((control) => [control.name, control.value]));
    this.drawn = this.values;
  }

  plotly() {
    return plotlyOnce(() => plotlyFromScript(this.base));
  }

  move(values) {
    this.values = values;
    this.drawn = values;
    const { [DESCRIBE]: sentence, ...result } = this.grid.at(this.number(values));
    this.view.draw(result, sentence, values);
  }

  // Place of a setting in the grid: the last control runs fastest.
  number(values) {
    return this.spec.controls.reduce((sum, { name, values: all }) => sum * all.length + all.indexOf(values[name]), 0);
  }
}

async function openStatic(root, base) {
  const spec = JSON.parse(root.querySelector('script[type="application/json"]').textContent);
  const page = new Page(spec, await decodeGrid(spec.grid), base);
  page.view = new View(root, spec, page);
  await page.view.open();
}

// Bring every explorer of a static page to life; `base` is the folder of Plotly's bundle.
export async function start(base) {
  if (document.readyState === "loading") {
    await new Promise((resolve) => document.addEventListener("DOMContentLoaded", resolve, { once: true }));
  }
  for (const root of document.querySelectorAll(".nl-explorer")) {
    if (!root.querySelector('script[type="application/json"]')) continue;
    await openStatic(root, base).catch((error) => {
      make("p", "nl-message", root, `This figure could not be opened: ${error}`).setAttribute("role", "alert");
    });
  }
}
