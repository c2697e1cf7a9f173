// The compressed model's file (chapter 5, *.nlab) read in the page: the same numbers as Python's, bit for bit.
//
// The counterpart of neurolab/compressed_reader.py, where the format is told. Every length, shape and table is
// checked before anything is built from it; whatever is wrong raises NlabError with the course's own words.
// Plain JavaScript without a browser's or a runtime's help: it runs in a Worker.

import { blake2b, unfold } from "./nlab_bytes.mjs";
import { sizesFit } from "./nlab_sizes.mjs";
import { CODERS, unpack as unpackStreams, whole } from "./nlab_streams.mjs";
import { NlabError, bytesRepr, cut, parseJson, repr } from "./nlab_text.mjs";

export { NlabError } from "./nlab_text.mjs";
export { externalData, sessionOptions } from "./nlab_graph.mjs";

const [MAGIC, VERSION, HEAD, CHECK] = ["nlab", 1, 13, 8];
const SECTIONS = ["codes", "steps", "floats", "tokenizer"];
const [HEADER_LIMIT, TOKENIZER_LIMIT] = [1 << 20, 1 << 24];
const PLANES = { h: 2, f: 4, z: 1 }; // streams of a kind of number: a float16's bytes, a float32's, an int16

const refuse = (why) => {
  throw new NlabError(why);
};
const isObject = (x) => x !== null && typeof x === "object" && Object.getPrototypeOf(x) === Object.prototype;
const product = (shape) => shape.reduce((a, b) => a * b, 1);
const mostWeights = (size) => Math.min((1 << 20) + 128 * size, 2 ** 28);

/**
 * What a file holds. bytes: a Uint8Array. where: what messages begin with.
 *
 * tensors: Map(name -> {shape, data}), data a Float32Array of step x (code - zero point) or of floats as they
 * are. tokenizer: its JSON as text, or null. card: {config, about, coder, sections (bytes of each)}.
 */
export function read(bytes, where = "the file") {
  try {
    return decode(bytes);
  } catch (error) {
    if (error instanceof NlabError) throw new NlabError(`${where}: ${error.message}`, error.code);
    throw error;
  }
}

/** `read`, and the tensors are those of a network of the file's sizes; {header: card, tensors, tokenizer}. */
export async function unpack(bytes, where = "the file") {
  const { tensors, tokenizer, card } = read(bytes, where);
  sizesFit(tensors, card.config, where);
  return { header: card, tensors, tokenizer };
}

function decode(data) {
  const size = data.length;
  const begins = data.subarray(0, 4);
  if (!size || begins.some((b, i) => b !== MAGIC.charCodeAt(i))) {
    refuse(`not a compressed model (it begins with ${bytesRepr(begins)}, not b'${MAGIC}')`);
  }
  if (size < HEAD + CHECK) refuse(`truncated: ${size} bytes, fewer than the ${HEAD + CHECK} of an empty file`);
  const view = new DataView(data.buffer, data.byteOffset, size);
  const [version, header, total] = [view.getUint8(4), view.getUint32(5, true), view.getUint32(9, true)];
  if (version !== VERSION) {
    const code = version > VERSION ? "too_new" : "damaged";
    throw new NlabError(`version ${version}: this course reads version ${VERSION}`, code);
  }
  if (size !== total) {
    refuse(`${size < total ? "truncated" : "too long"}: ${size} bytes, its head says ${total}`);
  }
  const sum = blake2b(data.subarray(0, size - CHECK), CHECK);
  if (sum.some((b, i) => b !== data[size - CHECK + i])) {
    refuse("changed or corrupted: the checksum does not fit");
  }
  if (HEAD + header + CHECK > total) refuse(`a header of ${header} bytes in a file of ${total}`);
  const head = readHeader(data.subarray(HEAD, HEAD + header));
  const lengths = readSections(head, total - HEAD - header - CHECK);
  const part = {};
  let at = HEAD + header;
  for (const [name, length] of Object.entries(lengths)) part[name] = data.subarray(at, (at += length));
  const rows = readRows(get(head, "tensors"), total);
  const [coder, specs] = [get(head, "coder"), get(head, "specs")];
  if (!CODERS.includes(coder) || !Array.isArray(specs) || specs.length !== 3) {
    refuse(`coder ${repr(cut(coder, 40))} with ${cut(specs, 40)}: unknown`);
  }
  const tensors = readTensors(rows, part, coder, specs);
  const tokenizer = readTokenizer(part.tokenizer);
  const sections = { header: HEAD + header, ...lengths, checksum: CHECK };
  return { tensors, tokenizer, card: { config: head.config, about: head.about, coder, sections } };
}

const get = (object, name) => (Object.hasOwn(object, name) ? object[name] : undefined);

function readHeader(data) {
  const text = unfold(data, HEADER_LIMIT, "header");
  let head;
  try {
    head = parseJson(text);
  } catch (error) {
    if (error.why) refuse(`the header is no JSON (${error.why})`);
    throw error;
  }
  if (!isObject(head)) refuse("the header is no JSON object");
  for (const name of ["config", "about"]) {
    if (!isObject(get(head, name) ?? null)) refuse(`the header's ${name} is no JSON object`);
  }
  return head;
}

function readSections(head, room) {
  const lengths = get(head, "bytes");
  if (!Array.isArray(lengths) || lengths.length !== SECTIONS.length) {
    refuse(`sections ${cut(lengths, 40)}: must be ${SECTIONS.length} lengths`);
  }
  const found = SECTIONS.map((name, i) => [name, whole(lengths[i], 0, room, `bytes of ${name}`)]);
  const sum = found.reduce((so, [, n]) => so + n, 0);
  if (sum !== room) refuse(`sections of ${sum} bytes where there are ${room}`);
  return Object.fromEntries(found);
}

function readShape(value, most, what) {
  if (!Array.isArray(value) || value.length > 8) {
    refuse(`${what} ${cut(value, 60)}: must be a list of at most 8 sizes`);
  }
  const shape = value.map((n) => whole(n, 1, most, what));
  if (product(shape) > most) {
    refuse(`${what} ${repr(shape)}: more than the ${most} numbers that a file of this size may hold`);
  }
  return shape;
}

/** The list of tensors, names once each, with no more numbers in all than the file's size allows. */
function readRows(value, total) {
  if (!Array.isArray(value) || !value.length) refuse("the header lists no tensors");
  let room = mostWeights(total);
  const rows = value.map((item) => {
    const fits = Array.isArray(item) && [3, 4].includes(item.length);
    if (!fits || !item.slice(0, 2).every((x) => typeof x === "string")) {
      refuse(`tensor ${cut(item, 60)}: must be name, kind, shape and the steps' shape`);
    }
    const [name, kind] = item;
    const short = repr(cut(name, 60));
    if (!(item.length === 3 ? ["h", "g", "f"] : ["qh", "qf", "qhz", "qfz"]).includes(kind)) {
      refuse(`tensor ${short} of kind ${repr(cut(kind, 10))}: unknown`);
    }
    const shape = readShape(item[2], room, `shape of ${short}`);
    room -= product(shape);
    const row = { name, kind, shape };
    if (item.length === 4) {
      row.step = readShape(item[3], product(shape), `shape of the steps of ${short}`);
      Object.assign(row, { kind: "q", stepKind: kind[1], zero: kind.endsWith("z") });
    }
    if (room < 0) refuse(`more weights than a file of ${total} bytes may hold, ${mostWeights(total)}`);
    return row;
  });
  if (new Set(rows.map((row) => row.name)).size < rows.length) refuse("the header lists a tensor twice");
  return rows;
}

// --- numbers ---

/** A float16's bits as a number; NaN and infinity are refused before. */
function half(bits) {
  const [power, rest] = [(bits >> 10) & 31, bits & 1023];
  const size = power ? (1024 + rest) * 2 ** (power - 25) : rest * 2 ** -24;
  return bits & 0x8000 ? -size : size;
}

/** The numbers of each kind from the streams of a section: of their first, second ... bytes. */
function joined(planes, counts) {
  const found = {};
  let used = 0;
  for (const [kind, n] of Object.entries(counts)) {
    if (!n) continue;
    const taken = planes.slice(used, (used += PLANES[kind]));
    if (kind === "z") {
      if (taken[0].some((x) => x < -32768 || x > 32767)) refuse("a zero point that is no int16");
      found[kind] = taken[0];
      continue;
    }
    if (taken.some((plane) => plane.some((x) => x < 0 || x > 255))) refuse("a byte of a float that is no byte");
    const numbers = new Float32Array(n);
    if (kind === "h") {
      for (let i = 0; i < n; i++) {
        if ((taken[1][i] & 0x7c) === 0x7c) refuse("NaN or infinity");
        numbers[i] = half(taken[0][i] | (taken[1][i] << 8));
      }
    } else {
      const bits = new Uint32Array(numbers.buffer);
      for (let i = 0; i < n; i++) {
        bits[i] = taken[0][i] | (taken[1][i] << 8) | (taken[2][i] << 16) | (taken[3][i] << 24);
      }
      if (!numbers.every(Number.isFinite)) refuse("NaN or infinity");
    }
    found[kind] = numbers;
  }
  return found;
}

const streamCounts = (counts) =>
  Object.entries(counts).flatMap(([kind, n]) => (n ? Array(PLANES[kind]).fill(n) : []));

function readTensors(rows, part, coder, specs) {
  const coded = rows.filter((row) => row.kind === "q");
  const plain = coder === "ans" ? "ans" : "packed";
  const count = (some, shape) => some.reduce((sum, row) => sum + product(row[shape]), 0);
  const steps = {
    h: count(coded.filter((row) => row.stepKind === "h"), "step"),
    f: count(coded.filter((row) => row.stepKind === "f"), "step"),
    z: count(coded.filter((row) => row.zero), "step"),
  };
  const floats = {
    h: count(rows.filter((row) => row.kind === "h" || row.kind === "g"), "shape"),
    f: count(rows.filter((row) => row.kind === "f"), "shape"),
  };
  const wanted = [
    ["codes", coded.map((row) => product(row.shape)), coder],
    ["steps", streamCounts(steps), plain],
    ["floats", streamCounts(floats), plain],
  ];
  const [codes, stepPlanes, floatPlanes] = wanted.map(([name, counts, by], i) => {
    try {
      return unpackStreams(specs[i], part[name], counts, by);
    } catch (error) {
      if (error instanceof NlabError) refuse(`section ${name}: ${error.message}`);
      throw error;
    }
  });
  const pools = [joined(stepPlanes, steps), joined(floatPlanes, floats)];
  const places = [{}, {}];
  const take = (pool, kind, shape) => {
    const from = places[pool][kind] ?? 0;
    return pools[pool][kind].subarray(from, (places[pool][kind] = from + product(shape)));
  };

  const tensors = new Map();
  let next = 0;
  for (const row of rows) {
    if (row.kind !== "q") {
      tensors.set(row.name, { shape: row.shape, data: take(1, row.kind === "f" ? "f" : "h", row.shape).slice() });
      continue;
    }
    const q = codes[next++];
    if (q.some((x) => x < -32768 || x > 32767)) refuse(`${row.name} holds a code that is no int16`);
    const step = take(0, row.stepKind, row.step);
    const zero = row.zero ? take(0, "z", row.step) : null;
    tensors.set(row.name, { shape: row.shape, data: values(q, step, zero, row.shape, row.step) });
  }
  return tensors;
}

/** step x (q - zero), each step serving a block of rows and of neighbours in a row. */
function values(q, step, zero, shape, steps) {
  if (!step.every((s) => s > 0)) refuse("step holds NaN, infinity or a number that is not above 0");
  if (steps.length !== 0 && steps.length !== 2) {
    refuse(`step of shape ${tuple(steps)}: must be () or (R', C')`);
  }
  const rows = shape.length > 1 ? shape[0] : 1;
  const columns = q.length / rows;
  const [high, wide] = steps.length ? steps : [1, 1];
  if (rows % high || columns % wide) {
    const both = `(${rows}, ${columns})`;
    refuse(`step of shape ${tuple(steps)}: must divide ${both}, the rows of q and the numbers in one`);
  }
  const data = new Float32Array(q.length); // the product of an int17 and a float32 is exact, then rounded once
  const [tall, broad] = [rows / high, columns / wide];
  for (let row = 0, i = 0; row < rows; row++) {
    const line = Math.floor(row / tall) * wide;
    for (let group = 0; group < wide; group++) {
      const [s, z] = [step[line + group], zero ? zero[line + group] : 0];
      for (const end = i + broad; i < end; i++) data[i] = (q[i] - z) * s;
    }
  }
  return data;
}

const tuple = (shape) => `(${shape.join(", ")}${shape.length === 1 ? "," : ""})`;

function readTokenizer(data) {
  if (!data.length) return null;
  const text = unfold(data, TOKENIZER_LIMIT, "tokenizer");
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(text);
  } catch {
    return refuse("the tokenizer is no text");
  }
}
