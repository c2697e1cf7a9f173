// The worker: it holds the runtime and the models, and does one thing after the other, so that the page stays
// quick to the touch. Messages in: {id, what, ...}. Messages out: {id, kind: progress | token | done | trouble, ...}.
import { isKept, manifest } from "./loader.mjs";
import { measure } from "./measure.mjs";
import { Model, check, start } from "./runtime.mjs";
import { END } from "./tokenizer.mjs";
import { Trouble, asTrouble } from "./trouble.mjs";

const BASE = new URL(".", import.meta.url);
const open = new Map();
let list = null;
let stopped = new Set();

async function theList() {
  list ??= await manifest(BASE);
  return list;
}

function entryOf(name) {
  const entry = list.models.find((one) => one.name === name);
  if (!entry) throw new Trouble("missing", { file: name });
  return entry;
}

/** The files that a model needs, with the runtime and the tokenizer. */
function filesOf(entry) {
  return [list.runtime, list.tokenizer, ...Object.values(entry.files)];
}

/** The model of that name, opened; progress counts all files that are not here yet. */
async function model(name, tell) {
  await theList();
  const entry = entryOf(name);
  if (open.has(name)) return open.get(name);
  check();
  const wanted = [];
  for (const file of filesOf(entry)) if (!(await isKept(BASE, file))) wanted.push(file);
  const total = wanted.reduce((sum, file) => sum + file.bytes, 0);
  const came = new Map();
  const say = (path, n) => {
    came.set(path, n);
    const received = Math.min(total, [...came.values()].reduce((a, b) => a + b, 0));
    tell({ kind: "progress", received, total });
  };
  const warn = (trouble) => tell({ kind: "warning", trouble: trouble.plain() });
  await start(BASE, list, (n) => say(list.runtime.path, n), warn);
  tell({ kind: "progress", received: total, total, opening: true });
  const made = await Model.open(BASE, list, entry, say, warn);
  open.set(name, made);
  return made;
}

const DOES = {
  /** models.json, and which of the models are here already. */
  async list() {
    const found = await theList();
    const kept = {};
    for (const entry of found.models) {
      kept[entry.name] = (await Promise.all(filesOf(entry).map((file) => isKept(BASE, file)))).every(Boolean);
    }
    return { list: found, kept };
  },

  async open({ name }, tell) {
    await model(name, tell);
    return { name };
  },

  async ask({ name, question }, tell) {
    const asked = await model(name, tell);
    const prompt = asked.prompt(question);
    const stream = asked.tokenizer.stream();
    let text = "";
    let tokens = 0;
    let first = 0;
    let last = 0;
    for await (const { id, ms } of asked.tokens(prompt)) {
      tokens += 1;
      first ||= ms;
      last = ms;
      if (id === END) break;
      text += stream.push(id);
      tell({ kind: "token", text, ms });
    }
    text += stream.end();
    return { text, tokens, prompt: prompt.length, first, last };
  },

  /** Answers to many questions, for comparing with Python's. */
  async answers({ name, questions }, tell) {
    const asked = await model(name, tell);
    const found = [];
    for (const question of questions) found.push(await asked.ask(question));
    return { answers: found };
  },

  async measure({ id, names, iterations, warmup }, tell) {
    const models = [];
    for (const name of names) models.push(await model(name, tell));
    return measure(models, list.examples, { iterations, warmup, tell, stopped: () => stopped.has(id) });
  },
};

let line = Promise.resolve();

addEventListener("message", ({ data }) => {
  if (data.what === "stop") {
    stopped.add(data.of);
    return;
  }
  const tell = (message) => postMessage({ id: data.id, ...message });
  line = line.then(async () => {
    try {
      tell({ kind: "done", ...(await DOES[data.what](data, tell)) });
    } catch (error) {
      tell({ kind: "trouble", trouble: asTrouble(error).plain() });
    } finally {
      stopped.delete(data.id);
    }
  });
});
