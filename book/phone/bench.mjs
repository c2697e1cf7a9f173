// The page's part of the benchmark: the form, the idle baseline, progress, the stop button, the table, the rows.
import { browserName, clean, copy, deviceName, guessForm, processor, rows, runName, save, shareable } from "./row.mjs";
import { Trouble, asTrouble } from "./trouble.mjs";
import { sentence, t } from "./words.mjs";

const $ = (id) => document.getElementById(id);
const WARMUP = 10; // iterations thrown away
const IDLE_SECONDS = 20; // only where the browser tells the battery's level
const FEWEST = 100; // iterations of a result

/** The battery, or null where the browser tells none. */
async function battery() {
  try {
    return (await navigator.getBattery?.()) ?? null;
  } catch {
    return null;
  }
}

export class Bench {
  constructor(client, page) {
    Object.assign(this, { client, page, list: null, running: null, stopped: false, last: null, said: [] });
    $("measure").addEventListener("submit", (event) => {
      event.preventDefault();
      this.start();
    });
    $("stop").addEventListener("click", () => this.stop());
    $("copy").addEventListener("click", async () => this.tell((await copy($("row"))) ? "copied" : "copy_by_hand"));
    $("save").addEventListener("click", () => {
      save($("row").value, this.fileName());
      this.tell("saved");
    });
    $("share").addEventListener("click", () => this.share());
    addEventListener("language", () => this.list && this.show(this.list));
    $("form").value = guessForm();
    deviceName().then((name) => {
      $("device").value ||= name;
    });
  }

  /** Fill the form's list of versions, keeping what is ticked. */
  show(list, first = null) {
    this.list = list;
    const ticked = first ? new Set([first]) : new Set(this.ticked());
    $("measured").replaceChildren(...list.models.map((entry) => {
      const row = document.createElement("label");
      const input = Object.assign(document.createElement("input"), { type: "checkbox", value: entry.name });
      input.checked = ticked.has(entry.name);
      row.append(input, document.createTextNode(this.page.label(entry)));
      return row;
    }));
    if (this.last) this.table();
    if (this.trouble) this.notice(this.trouble);
  }

  /** A message below the form. */
  notice(trouble) {
    this.trouble = trouble;
    $("measure-notice").hidden = !trouble;
    if (!trouble) return;
    $("measure-notice").querySelector("p").textContent = sentence(trouble);
    $("measure-notice").dataset.code = trouble.code;
    if (trouble.cause) console.info(trouble.message, trouble.cause.message ?? trouble.cause);
  }

  ticked() {
    return Array.from(document.querySelectorAll("#measured input:checked"), (input) => input.value);
  }

  say(text, share) {
    $("running-words").textContent = text;
    if (share === undefined) $("running-bar").removeAttribute("value");
    else $("running-bar").value = share;
  }

  stop() {
    this.stopped = true;
    this.running?.stop();
    this.wake?.();
  }

  /** Wait `seconds` or until stopped, counting down. */
  async idle(seconds) {
    for (let left = seconds; left > 0 && !this.stopped; left--) {
      this.say(t("phase_idle", left), 1 - left / seconds);
      await new Promise((done) => {
        this.wake = done;
        setTimeout(done, 1000);
      });
    }
  }

  async start() {
    const names = this.ticked();
    if (!names.length) {
      this.notice(new Trouble("pick_one"));
      return;
    }
    this.stopped = false;
    this.notice(null);
    $("result").hidden = true;
    $("running").hidden = $("stop").hidden = false;
    $("go").disabled = true;
    $("stop").focus();
    let lock = null;
    try {
      lock = await navigator.wakeLock?.request("screen").catch(() => null);
      const found = await this.run(names, Number($("iterations").value));
      if (found) this.finish(found);
    } catch (error) {
      this.notice(asTrouble(error));
    } finally {
      lock?.release().catch(() => {});
      $("running").hidden = $("stop").hidden = true;
      $("go").disabled = false;
      if ($("result").hidden) $("go").focus();
      else $("result").focus();
    }
  }

  /** Open, rest, warm up, count. Null where it was stopped too early. */
  async run(names, iterations) {
    this.say(t("phase_open"));
    for (const name of names) {
      const hear = (message) => message.kind === "progress" && this.page.loading(message, "running");
      await this.client.call("open", { name }, hear);
      if (this.stopped) break;
    }
    await this.page.learnKept();
    const told = await battery();
    const seen = {};
    let charging = told?.charging ?? false;
    const watch = () => (charging ||= told.charging);
    told?.addEventListener("chargingchange", watch);
    const clock = () => performance.now() / 1000;
    if (told && !this.stopped) {
      const began = clock();
      seen.idle_start = told.level;
      await this.idle(IDLE_SECONDS);
      Object.assign(seen, { idle_end: told.level, idle_seconds: clock() - began });
    }
    if (this.stopped) {
      this.notice(new Trouble("stopped_early"));
      return null;
    }
    let began = clock();
    this.running = this.client.call("measure", { names, iterations, warmup: WARMUP }, (message) => {
      if (message.kind === "counting") {
        began = clock();
        if (told) seen.battery_start = told.level;
      }
      if (message.kind !== "iteration") return;
      const words = message.counted ? t("phase_count", message.counted, iterations) : t("phase_warm", message.done, WARMUP);
      this.say(words, message.done / message.total);
      $("running").dataset.done = message.done;
    });
    const measured = await this.running;
    this.running = null;
    if (told) Object.assign(seen, { battery_end: told.level, battery_seconds: clock() - began, battery_charging: charging });
    told?.removeEventListener("chargingchange", watch);
    if (measured.counted < FEWEST) {
      this.notice(new Trouble("stopped_early"));
      return null;
    }
    const where = {
      form: $("form").value, device: clean($("device").value) || "unnamed", browser: browserName(), run: runName(),
      processor: await processor(), warmup: WARMUP, battery: told ? seen : null,
    };
    return { rows: rows(this.list, measured, where), battery: told ? seen : null };
  }

  finish(found) {
    this.last = found;
    this.said = [];
    this.table();
    $("row").value = `${JSON.stringify(found.rows, null, 1).replace(/\[\s+([\d.,\s]+?)\s+\]/g, (_, inner) => `[${inner.replace(/\s+/g, " ")}]`)}\n`;
    $("share").hidden = !shareable("", this.fileName());
    $("result").hidden = false;
  }

  fileName() {
    const { setting, provenance } = this.last.rows[0];
    const name = `${setting.device} ${setting.browser}`.toLowerCase().replace(/[^a-z0-9]+/g, "-");
    return `phone-${name.replace(/^-|-$/g, "")}-${provenance.run.slice(0, 6)}.json`;
  }

  /** Draw the table and the sentences below it in the language in use. */
  table() {
    const { rows: found, battery: seen } = this.last;
    const cell = (tag, text) => Object.assign(document.createElement(tag), { textContent: text });
    const head = document.createElement("tr");
    head.append(...t("columns").map((words) => Object.assign(cell("th", words), { scope: "col" })));
    const lines = found.map(({ setting, figures: f }) => {
      const line = document.createElement("tr");
      const entry = this.list.models.find((one) => one.name === setting.model);
      const first = Object.assign(cell("th", this.page.label(entry)), { scope: "row" });
      const numbers = [f.p50_ms.toFixed(2), f.p95_ms.toFixed(2), f.tokens_per_second.toFixed(0), f.first_token_p50_ms.toFixed(1)];
      line.append(first, ...numbers.map((text) => cell("td", text)));
      return line;
    });
    const [thead, tbody] = [document.createElement("thead"), document.createElement("tbody")];
    thead.append(head);
    tbody.append(...lines);
    $("table").replaceChildren(cell("caption", t("caption")), thead, tbody);
    const sum = (key) => found.reduce((total, { figures }) => total + (figures[key] ?? 0), 0);
    const words = [t("result_words", found[0].figures.iterations, sum("answers_equal"), sum("answers_asked"))];
    if (seen) words.push(t("battery", Math.round(seen.battery_start * 100), Math.round(seen.battery_end * 100)));
    $("result-words").textContent = [...words, ...this.said.map((key) => t(key))].join(" ");
  }

  tell(key) {
    this.said = [key];
    this.table();
  }

  async share() {
    const file = shareable($("row").value, this.fileName());
    try {
      await navigator.share({ files: [file] });
    } catch (error) {
      if (error.name !== "AbortError") this.tell((await copy($("row"))) ? "copied" : "copy_by_hand");
    }
  }
}
