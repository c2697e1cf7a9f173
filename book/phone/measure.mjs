// The benchmark, after the articles' protocol: warm-up, 100 to 1,000 iterations, median and 95th percentile.
// Each iteration lets every model answer the same question in turn, so a phone that grows warm slows them all.
import { END } from "./tokenizer.mjs";

/** Percentile p of numbers by the nearest rank: sorted[ceil(p / 100 * n) - 1]. */
export function percentile(numbers, p) {
  const sorted = Float64Array.from(numbers).sort();
  return sorted[Math.max(0, Math.ceil((p / 100) * sorted.length) - 1)];
}

/** To four decimals, which is finer than any browser's clock. */
export const round = (x) => Math.round(x * 1e4) / 1e4;

/** Let waiting messages (the stop button's) in; setTimeout would cost 4 ms each. */
const breathe = (() => {
  const channel = new MessageChannel();
  let go = () => {};
  channel.port1.onmessage = () => go();
  return () => new Promise((done) => {
    go = done;
    channel.port2.postMessage(0);
  });
})();

/** One answer, timed: milliseconds to the first token, and per token after it; the text. */
async function timed(model, question) {
  const prompt = model.prompt(question);
  const ids = [];
  let first = 0;
  let last = 0;
  for await (const { id, ms } of model.tokens(prompt)) {
    if (!ids.length) first = ms;
    last = ms;
    ids.push(id);
  }
  const text = model.tokenizer.decode(ids.at(-1) === END ? ids.slice(0, -1) : ids);
  return { first, each: (last - first) / Math.max(1, ids.length - 1), tokens: ids.length, text };
}

/**
 * Measure models in turns.
 * @param {object[]} models opened models
 * @param {{question: string, answers: Object<string, string>}[]} examples questions, with Python's answers
 * @param {object} how iterations, warmup, tell(message), stopped()
 * @returns {Promise<object>} {counted, stopped, models: [{name, token_ms, first_ms, tokens, asked, equal}]}
 */
export async function measure(models, examples, { iterations, warmup, tell, stopped }) {
  const found = models.map((model) => ({ name: model.entry.name, token_ms: [], first_ms: [], tokens: 0, asked: 0, equal: 0 }));
  const total = warmup + iterations;
  let counted = 0;
  let told = -Infinity;
  for (let i = 0; i < total; i++) {
    if (i === warmup) tell({ kind: "counting" });
    const example = examples[i % examples.length];
    for (let turn = 0; turn < models.length; turn++) {
      const m = (turn + i) % models.length; // none always comes first
      const one = await timed(models[m], example.question);
      const truth = example.answers?.[found[m].name];
      if (i < examples.length && truth !== undefined) {
        found[m].asked += 1;
        found[m].equal += Number(one.text === truth);
      }
      if (i < warmup) continue;
      found[m].token_ms.push(round(one.each));
      found[m].first_ms.push(round(one.first));
      found[m].tokens += one.tokens;
    }
    if (i >= warmup) counted += 1;
    if (performance.now() - told > 100 || i === total - 1) {
      told = performance.now();
      tell({ kind: "iteration", done: i + 1, total, counted });
    }
    await breathe();
    if (stopped()) break;
  }
  return { counted, stopped: counted < iterations, models: found };
}
