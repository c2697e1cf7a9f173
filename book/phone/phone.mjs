// The page: language, the model in use, questions and answers. The benchmark is in bench.mjs.
import { Bench } from "./bench.mjs";
import { Client } from "./client.mjs";
import { offline } from "./offline.mjs";
import { Trouble, asTrouble } from "./trouble.mjs";
import { current, firstLanguage, languageOf, sentence, speak, t } from "./words.mjs";

const $ = (id) => document.getElementById(id);
const state = { list: null, kept: {}, name: "", busy: false, trouble: null, tryAgain: null, opening: null };
const client = new Client();

/** Show a message above the question; `again` is what the button tries once more. */
function notice(trouble, again = null) {
  Object.assign(state, { trouble, tryAgain: again });
  $("notice").hidden = !trouble;
  $("again").hidden = !again;
  if (!trouble) return;
  $("notice").querySelector("p").textContent = sentence(trouble);
  $("notice").dataset.code = trouble.code;
  $("notice").scrollIntoView({ block: "nearest" });
  if (trouble.cause) console.info(trouble.message, trouble.cause.message ?? trouble.cause);
}

/** A model's name as the reader sees it. */
const label = (entry) => entry.label[current()] ?? entry.label.en;

/** All bytes that a model needs and that are not shared with one that is here. */
function toFetch(entry) {
  const sum = (files) => files.reduce((total, file) => total + file.bytes, 0);
  const shared = Object.values(state.kept).some(Boolean) ? 0 : sum([state.list.runtime, state.list.tokenizer]);
  return state.kept[entry.name] ? 0 : shared + sum(Object.values(entry.files));
}

function showModels() {
  if (!state.list) return;
  const box = $("models");
  const before = document.activeElement?.closest("#models") ? document.activeElement.value : null;
  box.replaceChildren(...state.list.models.map((entry) => {
    const row = document.createElement("label");
    const input = Object.assign(document.createElement("input"), { type: "radio", name: "model", value: entry.name });
    input.checked = entry.name === state.name;
    input.setAttribute("aria-describedby", `about-${entry.name}`);
    const words = (tag, text) => Object.assign(document.createElement("span"), { className: tag, textContent: text });
    const bytes = Object.values(entry.files).reduce((total, file) => total + file.bytes, 0);
    const size = words("size", t("megabytes", bytes));
    const about = words("about", (entry.about[current()] ?? entry.about.en) + (state.kept[entry.name] ? ` · ${t("here")}` : ""));
    about.id = `about-${entry.name}`;
    row.append(input, words("name", label(entry)), size, about);
    return row;
  }));
  if (before) box.querySelector(`input[value="${before}"]`)?.focus();
}

function showChips() {
  const found = (state.list?.chips ?? []).map((question) => {
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: question });
    button.lang = languageOf(question);
    button.addEventListener("click", () => {
      $("question").value = question;
      ask(question);
    });
    return button;
  });
  $("chips").replaceChildren(...found);
  $("chips").setAttribute("aria-label", t("examples"));
  $("talk").setAttribute("aria-label", t("answers"));
}

/** Show how far fetching has come. */
function loading({ received = 0, total = 0, opening = false } = {}, box = "loading") {
  $(`${box}-words`).textContent = opening || !total ? t("opening") : t("fetching", received, total);
  if (total && !opening) $(`${box}-bar`).value = received / total;
  else $(`${box}-bar`).removeAttribute("value");
}

/** What models and benchmark share: tell of warnings, and which models are here now. */
async function learnKept() {
  const found = await client.call("list");
  Object.assign(state, { list: found.list, kept: found.kept });
  showModels();
  return found.list;
}

/** Open a model, with progress; the same promise while it is under way. Trouble where it fails. */
function open(name) {
  if (state.opening?.name === name) return state.opening.promise;
  $("loading").hidden = false;
  delete document.documentElement.dataset.open;
  loading();
  const hear = (message) => {
    if (message.kind === "progress") loading(message);
    if (message.kind === "warning") notice(message.trouble);
  };
  const promise = client.call("open", { name }, hear).then(async () => {
    await learnKept();
    document.documentElement.dataset.open = name;
    if (state.kept[name]) dispatchEvent(new CustomEvent("kept"));
  }).finally(() => {
    if (state.opening?.promise === promise) {
      state.opening = null;
      $("loading").hidden = true;
    }
  });
  state.opening = { name, promise };
  return promise;
}

async function choose(name) {
  state.name = name;
  notice(null);
  try {
    await open(name);
  } catch (error) {
    notice(asTrouble(error), () => choose(name));
  }
}

/** A place for one question and its answer, the newest first. */
function place(question) {
  const item = document.createElement("li");
  const line = (className) => Object.assign(document.createElement("p"), { className });
  const [asked, said, cost] = ["asked", "said busy", "cost"].map(line);
  asked.textContent = question;
  asked.lang = languageOf(question);
  item.append(asked, said, cost);
  $("talk").prepend(item);
  while ($("talk").children.length > 12) $("talk").lastElementChild.remove();
  item.scrollIntoView({ block: "nearest" });
  return { item, said };
}

/** What an answer cost, in the language in use. */
function showCost(item) {
  const { first, tokens, rate, model } = item.dataset;
  const entry = state.list.models.find((one) => one.name === model);
  item.querySelector(".cost").textContent = t("cost", first, tokens, Number(rate), label(entry));
}

async function ask(question) {
  if (state.busy || !state.list) return;
  if (!question.trim()) {
    notice(new Trouble("empty_question"));
    $("question").focus();
    return;
  }
  state.busy = true;
  notice(null);
  const entry = state.list.models.find((one) => one.name === state.name);
  const { item, said } = place(question);
  try {
    await open(entry.name);
    const show = (text) => {
      said.textContent = text;
      said.lang = languageOf(text);
    };
    const found = await client.call("ask", { name: entry.name, question }, (message) => {
      if (message.kind === "token") show(message.text);
    });
    show(found.text || t("nothing"));
    const rate = found.tokens > 1 && found.last > found.first ? Math.round((1000 * (found.tokens - 1)) / (found.last - found.first)) : 0;
    const first = found.first < 10 ? found.first.toFixed(1) : Math.round(found.first);
    if ($("question").value === question) $("question").value = "";
    Object.assign(item.dataset, { model: entry.name, first, tokens: found.tokens, rate, done: "" });
    showCost(item);
    $("talk").dataset.answers = Number($("talk").dataset.answers ?? 0) + 1;
    $("heard").textContent = t("heard", found.text);
    $("heard").lang = current();
  } catch (error) {
    item.remove();
    notice(asTrouble(error), () => ask(question));
  } finally {
    said.classList.remove("busy");
    state.busy = false;
  }
}

/** Begin: the list, then the default model, unless the reader saves data. */
async function begin() {
  notice(null);
  try {
    const list = await learnKept();
    const wanted = new URLSearchParams(location.hash.slice(1)).get("model"); // an address may choose: #model=qat18
    state.name ||= (list.models.find((one) => one.name === wanted) ?? list.models[0]).name;
    showModels();
    showChips();
    bench.show(list, state.name);
    if (list.book) $("book").href = list.book;
    else $("book").removeAttribute("href");
    const entry = list.models.find((one) => one.name === state.name);
    if (navigator.connection?.saveData && !state.kept[state.name]) {
      notice(new Trouble("save_data", { bytes: toFetch(entry) }));
    } else {
      await choose(state.name);
    }
  } catch (error) {
    notice(asTrouble(error), begin);
  }
}

const bench = new Bench(client, { learnKept, loading, label });

$("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  ask($("question").value);
});
$("models").addEventListener("change", (event) => choose(event.target.value));
$("again").addEventListener("click", () => state.tryAgain?.());
for (const button of document.querySelectorAll("[data-language]")) {
  button.addEventListener("click", () => speak(button.dataset.language));
}
addEventListener("language", () => {
  showModels();
  showChips();
  document.querySelectorAll("#talk li[data-done]").forEach(showCost);
  if (state.trouble) $("notice").querySelector("p").textContent = sentence(state.trouble);
});

$("starting").remove();
speak(firstLanguage(), false);
offline();
begin();
