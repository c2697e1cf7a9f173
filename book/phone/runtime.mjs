// ONNX Runtime in WebAssembly, and the greedy loop around it: one call a token, with the cache of keys and values
// as an input and an output of the graph (the same interface as every export of chapter 7).
import { load } from "./loader.mjs";
import { END, Tokenizer } from "./tokenizer.mjs";
import { Trouble, asTrouble } from "./trouble.mjs";
import * as ort from "./vendor/ort.wasm.bundle.min.mjs";

// Bytes that only a browser with WebAssembly SIMD takes for a program: (func (result v128) i32.const 0, i8x16.splat, i8x16.popcnt).
const SIMD = Uint8Array.of(
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11,
);
// ONNX Runtime reserves 4 GiB of addresses, which phones may refuse; a megabyte or two of model needs far less.
const MOST_PAGES = 8192; // of 64 KiB: 512 MiB

let ready = null;

/** Trouble unless this browser can run the models. */
export function check() {
  if (typeof WebAssembly !== "object") throw new Trouble("no_wasm");
  if (!WebAssembly.validate(SIMD)) throw new Trouble("no_simd");
  if (typeof DecompressionStream !== "function") throw new Trouble("no_unpacking");
}

function limitMemory() {
  const Native = WebAssembly.Memory;
  WebAssembly.Memory = function Memory(wanted) {
    const maximum = wanted.maximum === undefined ? undefined : Math.min(wanted.maximum, MOST_PAGES);
    return new Native(maximum === undefined ? wanted : { ...wanted, maximum });
  };
  WebAssembly.Memory.prototype = Native.prototype;
}

/** Load the runtime, once. */
export async function start(base, list, say, warn) {
  check();
  ready ??= (async () => {
    limitMemory();
    const binary = await load(base, list.runtime, say, warn);
    ort.env.wasm.wasmBinary = binary.buffer;
    ort.env.wasm.numThreads = 1;
    ort.env.logLevel = "error";
  })();
  try {
    await ready;
  } catch (error) {
    ready = null;
    throw error;
  }
}

/** One open model: `answer` streams tokens, `step` runs the graph. */
export class Model {
  constructor(entry, session, tokenizer, config) {
    Object.assign(this, { entry, session, tokenizer, config });
  }

  /**
   * Fetch and open a model of the list.
   * @param {(role: string, received: number) => void} say
   */
  static async open(base, list, entry, say, warn) {
    if ((entry.format ?? 1) > 1) throw new Trouble("too_new", { file: entry.name, found: entry.format, known: 1 });
    const get = (role) => load(base, entry.files[role], (n) => say(entry.files[role].path, n), warn);
    const words = await load(base, list.tokenizer, (n) => say(list.tokenizer.path, n), warn);
    let tokenizer;
    try {
      tokenizer = new Tokenizer(JSON.parse(new TextDecoder().decode(words)));
    } catch (error) {
      throw new Trouble("damaged", { file: list.tokenizer.path, cause: error });
    }
    const options = { executionProviders: ["wasm"], graphOptimizationLevel: "all", logSeverityLevel: 3 };
    let graph;
    if (entry.kind === "nlab") {
      const weights = await get("weights");
      graph = await get("graph");
      const { externalData, unpack } = await import("./nlab.mjs");
      try {
        options.externalData = externalData((await unpack(weights)).tensors, graph);
      } catch (error) {
        const code = error.code === "too_new" ? "too_new" : "unreadable";
        throw new Trouble(code, { file: entry.files.weights.path, found: "", known: "", cause: error });
      }
    } else if (entry.kind === "onnx") {
      graph = await get("model");
    } else {
      throw new Trouble("too_new", { file: entry.name, found: entry.kind, known: "onnx, nlab" });
    }
    try {
      const session = await ort.InferenceSession.create(graph, options);
      const made = new Model(entry, session, tokenizer, entry.config);
      await made.warm();
      return made;
    } catch (error) {
      const full = /memory|allocat|RangeError/i.test(String(error));
      throw new Trouble(full ? "memory" : "unreadable", { file: entry.name, cause: error });
    }
  }

  /** One prompt and one step: browsers compile WebAssembly when it first runs, and no question should wait for it. */
  async warm() {
    const { cache } = await this.step(Array(12).fill(END), this.empty());
    await this.step([END], cache);
  }

  /** The cache before the first token, for B sequences. */
  empty(batch = 1) {
    const { layers, heads, head } = this.config;
    return new ort.Tensor("float32", new Float32Array(), [layers, 2, batch, heads, 0, head]);
  }

  /** ids: numbers, B rows one after the other -> {logits (B, V) as one Float32Array, cache}. */
  async step(ids, cache, batch = 1) {
    const tensor = new ort.Tensor("int64", BigInt64Array.from(ids, BigInt), [batch, ids.length / batch]);
    const out = await this.session.run({ ids: tensor, cache });
    return { logits: out.logits.data, cache: out.new_cache };
  }

  /** Ids of a question that leaves room for an answer. */
  prompt(question) {
    let ids;
    try {
      ids = this.tokenizer.question(question);
    } catch (error) {
      throw new Trouble("empty_question", { cause: error });
    }
    if (ids.length >= this.config.context) {
      throw new Trouble("long_question", { found: ids.length, wanted: this.config.context - 1 });
    }
    return ids;
  }

  /**
   * Greedy answer, token by token: yields {id, ms since the call}; END is the last, unless room ran out.
   * The limit of 64 is Python's.
   */
  async *tokens(prompt, limit = 64) {
    const began = performance.now();
    let ids = prompt;
    let cache = this.empty();
    for (let n = Math.min(limit, this.config.context - prompt.length); n > 0; n--) {
      let logits;
      try {
        ({ logits, cache } = await this.step(ids, cache));
      } catch (error) {
        throw asTrouble(error, "run");
      }
      const id = largest(logits);
      yield { id, ms: performance.now() - began };
      if (id === END) return;
      ids = [id];
    }
  }

  /** The whole answer to one question. */
  async ask(question) {
    const ids = [];
    for await (const { id } of this.tokens(this.prompt(question))) ids.push(id);
    return this.tokenizer.decode(ids);
  }

  async close() {
    await this.session.release();
  }
}

/** Index of the largest number; the first of equals. */
export function largest(numbers) {
  let best = 0;
  for (let i = 1; i < numbers.length; i++) if (numbers[i] > numbers[best]) best = i;
  return best;
}
