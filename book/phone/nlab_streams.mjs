// Streams of whole numbers out of a compressed model's sections: tables, then ANS, Huffman or packed bits.
//
// The counterpart of neurolab/streams.py, symbols.py and coding.py. ANS as the library constriction has it
// (stack of 32-bit words, 64-bit state, probabilities of 24 bits, "fast" rounding): the weights are whole
// numbers and every sum is taken in one order, so a table here is the table there, on every machine.

import { NlabError, Odd, cut } from "./nlab_text.mjs";

export const CODERS = ["ans", "huffman", "packed", "zstd"];
const WIDEST = 65536;
const MOST_LEVEL = 289;
const DECAYS = [2, 4, 6, 8, 10, 12, 14];
const WHOLE = 1 << 24; // the sum of all probabilities
const BUCKET = 12; // bits of a quantile that the first look-up leaves out
const LONGEST = 48; // bits of the longest code word
const PEEK = 12;
const CHUNK = 1 << 17; // bits that the course's reader looks at in one go: what it reads behind the end

const refuse = (why) => {
  throw new NlabError(why);
};

/** Whether a value is a whole number as JSON wrote it, true and false excepted. */
export const isWhole = (value) => typeof value === "number" && Number.isInteger(value);

/** `value`, if it is a whole number from low to high. */
export function whole(value, low, high, what) {
  if (!isWhole(value) || value < low || value > high) {
    refuse(`${what} ${cut(value, 40)}: must be a whole number from ${low} to ${high}`);
  }
  return value + 0;
}

// --- tables ---

/** floor(2^44 2^(f / 8)), f = 0 to 7. */
const EIGHTHS = [
  17592186044416, 19184414915921, 20920752812471, 22814242715178, 24879108095803, 27130859760288,
  29586412362451, 32264211463076,
];
/** 256 x 2^(m / 8), rounded down. */
const eighth = (m) => Math.floor(EIGHTHS[m & 7] / 2 ** (36 - (m >> 3)));

/** Whole-number weights of the symbols of a table {low, span, fineness, levels}, in proportion to how often. */
function weights(table) {
  if (table.fineness === 0) return new Float64Array(table.span + 1).fill(1);
  const step = 8 / table.fineness;
  return Float64Array.from(table.levels, (level) => {
    const m = Math.max(level - 1, 0) * step;
    if (m >= MOST_LEVEL) refuse(`level ${level}: no weight has it at fineness ${table.fineness}`);
    return level > 0 ? eighth(m) : 0;
  });
}

function law(which) {
  const found = new Float64Array(2 * MOST_LEVEL + 1);
  let weight = 1 << 24;
  for (let i = 0; i < found.length; i++) {
    found[i] = weight;
    weight = Math.max(1, (weight * DECAYS[which]) >> 4);
  }
  return found;
}

/** The levels whose folded differences these are: 0, 1, 2 ... for 0, -1, 1, -2 ... */
function undoDifferences(folded) {
  const levels = new Int32Array(folded.length);
  let [level, least, most] = [0, Infinity, -Infinity];
  folded.forEach((d, i) => {
    level += d % 2 ? -(d + 1) / 2 : d / 2;
    levels[i] = level;
    least = Math.min(least, level);
    most = Math.max(most, level);
  });
  if (least < 0 || most >= MOST_LEVEL) refuse(`levels ${least} to ${most}: must be 0 to ${MOST_LEVEL - 1}`);
  return levels;
}

// --- ANS ---

/** Where each symbol's part of 0 .. 2^24 begins, and which symbol each 4,096th of it begins in. */
function model(given) {
  let sum = 0;
  for (const w of given) sum += w;
  const scale = (WHOLE - given.length) / sum;
  const starts = new Uint32Array(given.length + 1);
  let before = 0;
  given.forEach((w, i) => {
    starts[i] = Math.trunc(before * scale) + i;
    before += w;
  });
  starts[given.length] = WHOLE;
  const first = new Uint16Array((WHOLE >> BUCKET) + 1);
  let symbol = 0;
  for (let i = 0; i < first.length - 1; i++) {
    while (starts[symbol + 1] <= i << BUCKET) symbol++;
    first[i] = symbol;
  }
  first[first.length - 1] = given.length - 1;
  return { starts, first };
}

/** A stack of 32-bit words that symbols are taken from; its state is high x 2^32 + low. */
class Stack {
  constructor(data) {
    if (data.length % 4) refuse(`${data.length} bytes of ANS data: must be a multiple of 4`);
    const view = new DataView(data.buffer, data.byteOffset, data.length);
    this.words = Uint32Array.from({ length: data.length / 4 }, (_, i) => view.getUint32(4 * i, true));
    this.left = this.words.length;
    if (this.left && !this.words[this.left - 1]) {
      refuse("Invalid compressed data: ANS compressed data never ends in a zero word.");
    }
    this.high = this.left > 1 ? this.words[--this.left] : 0;
    this.low = this.left > 0 ? this.words[--this.left] : 0;
  }

  get empty() {
    return this.left === 0 && this.high === 0 && this.low === 0;
  }

  /** The next `count` symbols of a model, each + `shift`. */
  take({ starts, first }, count, shift = 0) {
    const found = new Int32Array(count);
    const words = this.words;
    let [high, low, left] = [this.high, this.low, this.left];
    for (let i = 0; i < count; i++) {
      const quantile = low & 0xffffff;
      let symbol = first[quantile >>> BUCKET];
      let last = first[(quantile >>> BUCKET) + 1];
      while (symbol < last) {
        const middle = (symbol + last + 1) >>> 1;
        if (starts[middle] <= quantile) symbol = middle;
        else last = middle - 1;
      }
      found[i] = symbol + shift;
      // state = (state >> 24) x part + quantile - start, in two sums that a double holds exactly
      const start = starts[symbol];
      const part = starts[symbol + 1] - start;
      const under = ((high & 0xffff) * 256 + (low >>> 24)) * part + (quantile - start); // < 2^49
      const over = (high >>> 16) * part; // < 2^40, in units of 2^24
      const sum = (under >>> 0) + (over & 0xff) * 0x1000000;
      low = sum >>> 0;
      high = (Math.floor(under / 4294967296) + Math.floor(over / 256) + (sum > 4294967295 ? 1 : 0)) >>> 0;
      if (high === 0 && left > 0) {
        high = low;
        low = words[--left];
      }
    }
    [this.high, this.low, this.left] = [high, low, left];
    return found;
  }
}

function popTables(stack, rows) {
  return rows.map(([low, span, fineness, which]) => {
    if (!fineness) return { low, span, fineness, levels: new Int32Array(0) };
    const levels = undoDifferences(stack.take(model(law(which)), span + 1));
    if (!levels.some((level) => level > 0)) refuse("a table in which no symbol occurs");
    return { low, span, fineness, levels };
  });
}

function unpackAns(rows, use, data, counts) {
  const stack = new Stack(data);
  const tables = popTables(stack, rows);
  const models = new Map();
  const found = counts.map((count, i) => {
    const table = tables[use[i]];
    if (!table.span) return new Int32Array(count).fill(table.low);
    if (!models.has(table)) models.set(table, model(weights(table)));
    return stack.take(models.get(table), count, table.low);
  });
  if (!stack.empty) refuse("bytes are left over after the last symbol");
  return found;
}

// --- Huffman and packed bits ---

/** The canonical code whose lengths are a table's levels: a look-up of PEEK bits, and what longer words need. */
function codeOf({ low, levels }) {
  const used = [];
  levels.forEach((length, i) => length && used.push(i));
  if (!used.length) refuse("0 symbols and 0 lengths: must be equally many");
  const lengths = used.map((i) => levels[i]);
  const [least, most] = [Math.min(...lengths), Math.max(...lengths)];
  if (most > LONGEST) refuse(`lengths ${least} to ${most}: must be 1 to ${LONGEST} bits`);
  if (lengths.reduce((sum, n) => sum + 2 ** -n, 0) > 1) {
    refuse(`lengths [${lengths.slice(0, 8).join(", ")}] ...: more code words than fit (Kraft)`);
  }
  const order = used.map((_, k) => k).sort((a, b) => lengths[a] - lengths[b] || a - b);
  const symbols = Int32Array.from(order, (k) => used[k] + low);
  const [counts, firsts, places] = [0, 0, 0].map(() => new Float64Array(LONGEST + 1));
  for (const n of lengths) counts[n]++;
  for (let n = 1; n <= LONGEST; n++) {
    firsts[n] = 2 * (firsts[n - 1] + counts[n - 1]);
    places[n] = places[n - 1] + counts[n - 1];
  }
  const look = new Uint32Array(1 << PEEK); // place x 16 + length; 0: no word, or a longer one
  for (let n = 1; n <= PEEK; n++) {
    for (let j = 0; j < counts[n]; j++) {
      const from = (firsts[n] + j) * 2 ** (PEEK - n);
      look.fill((places[n] + j) * 16 + n, from, from + 2 ** (PEEK - n));
    }
  }
  return { symbols, counts, firsts, places, look };
}

/** `count` symbols, and the bytes that they took. */
function unhuffman(table, data, count) {
  const { symbols, counts, firsts, places, look } = codeOf(table);
  if (count === 0) return [new Int32Array(0), 0];
  const size = 8 * data.length;
  if (count > size) refuse(`${count} symbols in ${data.length} bytes: a code word has at least one bit`);
  const end = Math.ceil(size / CHUNK) * CHUNK;
  const found = new Int32Array(count);
  let at = 0;
  for (let have = 0; have < count; have++) {
    if (at >= end) refuse(`after ${have} of ${count} symbols: no more code words`);
    const byte = at >>> 3;
    const window = ((data[byte] << 16) | (data[byte + 1] << 8) | data[byte + 2]) >>> (12 - (at & 7));
    const known = look[window & 0xfff];
    if (known) {
      found[have] = symbols[known >>> 4];
      at += known & 15;
      continue;
    }
    let [word, n] = [0, 0];
    do {
      word = 2 * word + ((data[(at + n) >>> 3] >> (7 - ((at + n) & 7))) & 1);
      n++;
    } while (n < LONGEST && word - firsts[n] >= counts[n]);
    if (word - firsts[n] >= counts[n]) {
      const why = at < size ? "bits that are no code word" : "no more code words";
      refuse(`after ${have} of ${count} symbols: ${why}`);
    }
    found[have] = symbols[places[n] + word - firsts[n]];
    at += n;
  }
  if (at > size) refuse(`the last of ${count} symbols is cut off`);
  return [found, Math.ceil(at / 8)];
}

function unfixed(data, width, count, low) {
  const found = new Int32Array(count);
  let [held, have, at] = [0, 0, 0];
  for (let i = 0; i < count; i++) {
    while (have < width) {
      held = ((held << 8) | data[at++]) & 0xffffff;
      have += 8;
    }
    have -= width;
    found[i] = ((held >>> have) & ((1 << width) - 1)) + low;
  }
  return found;
}

function unbody(tables, data, counts, coder) {
  let at = 0;
  const found = tables.map((table, i) => {
    const { low, span } = table;
    const count = counts[i];
    if (!span) return new Int32Array(count).fill(low);
    if (coder === "huffman") {
      const [got, used] = unhuffman(table, data.subarray(at), count);
      at += used;
      return got;
    }
    const width = 32 - Math.clz32(span);
    const used = Math.ceil((count * width) / 8);
    if (at + used > data.length) refuse(`${data.length - at} bytes for ${count} symbols`);
    const got = unfixed(data.subarray(at, at + used), width, count, low);
    let most = 0;
    for (const x of got) if (x - low > most) most = x - low;
    if (most > span) refuse(`code ${most}: its table ends at ${span}`);
    at += used;
    return got;
  });
  if (at !== data.length) refuse(`${data.length - at} bytes are left over after the last symbol`);
  return found;
}

// --- all of it ---

function checked(spec, data, counts) {
  const plain = spec && typeof spec === "object" && !Array.isArray(spec) && !(spec instanceof Odd);
  if (!plain || !Array.isArray(spec.tables)) refuse("no list of tables");
  const { tables: rows, use } = spec;
  if (!Array.isArray(use) || use.length !== counts.length) {
    refuse(`tables are given to another number of streams than ${counts.length}`);
  }
  for (const row of rows) {
    if (!Array.isArray(row) || row.length !== 4) {
      refuse(`table ${cut(row, 60)}: must be low, span, fineness, law`);
    }
    const low = whole(row[0], -32768, 65535, "low");
    whole(row[1], 0, Math.min(WIDEST - 1, 65535 - low), "span");
    if (![0, 1, 2, 4, 8].includes(row[2])) refuse(`fineness ${cut(row[2], 40)}: must be 0, 1, 2, 4 or 8`);
    whole(row[3], 0, DECAYS.length - 1, "law");
  }
  for (const number of use) whole(number, 0, rows.length - 1, "table number");
  const add = (sum, row) => sum + row[1] + 1;
  const spans = use.reduce((sum, number) => add(sum, rows[number]), rows.reduce(add, 0));
  if (spans > (1 << 20) + 64 * data.length) refuse(`tables of ${spans} symbols for ${data.length} bytes`);
  const head = Object.hasOwn(spec, "head") ? spec.head : 0;
  return { rows, use, head: whole(head, 0, data.length, "bytes of tables") };
}

/** The streams (Int32Array) of a section, `counts` numbers each; the caller bounds their sum. */
export function unpack(spec, data, counts, coder) {
  const { rows, use, head } = checked(spec, data, counts);
  try {
    if (coder === "ans") return unpackAns(rows, use, data, counts);
    const stack = new Stack(data.subarray(0, head));
    const tables = popTables(stack, rows);
    if (!stack.empty) refuse("bytes are left over after the tables");
    if (coder === "zstd") refuse("this page reads no zstd; write the file with coder='ans'");
    return unbody(use.map((number) => tables[number]), data.subarray(head), counts, coder);
  } catch (error) {
    if (error instanceof NlabError) refuse(`the coder refused it: ${error.message}`);
    throw error;
  }
}
