// What a compressed model's file says in text: its JSON, and values in messages as Python shows them, so that
// this reader and the course's own (neurolab/compressed_reader.py) refuse a file with the same words.

/** The file is no compressed model, or a damaged one; the message says what is wrong. code: too_new, damaged. */
export class NlabError extends Error {
  constructor(message, code = "damaged") {
    super(message);
    this.name = "NlabError";
    this.code = code;
  }
}

// --- values as Python shows them, so that both readers give one message ---

/** A number that JSON holds and that is no whole number of at most 2^53: kept as it was written. */
export class Odd {
  constructor(text) {
    this.text = text;
  }
}

function oddText(text) {
  if (!/[.eE]/.test(text)) return text.replace(/^-0$/, "0"); // a long whole number
  const value = Number(text);
  if (!Number.isFinite(value)) return value > 0 ? "inf" : "-inf";
  if (value === 0) return Object.is(value, -0) ? "-0.0" : "0.0";
  const [, sign, digits, power] = /^(-?)([\d.]+)e([+-]\d+)$/.exec(value.toExponential());
  const [e, all] = [Number(power), digits.replace(".", "")];
  if (e < -4 || e >= 16) {
    return `${sign}${digits}e${e < 0 ? "-" : "+"}${String(Math.abs(e)).padStart(2, "0")}`;
  }
  if (e < 0) return `${sign}0.${"0".repeat(-e - 1)}${all}`;
  return `${sign}${all.slice(0, e + 1).padEnd(e + 1, "0")}.${all.slice(e + 1) || "0"}`;
}

function quoted(text) {
  const mark = text.includes("'") && !text.includes('"') ? '"' : "'";
  let found = "";
  for (const c of text) {
    const code = c.codePointAt(0);
    const named = { "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", [mark]: `\\${mark}` }[c];
    if (named) found += named;
    else if (c === " " || !/[\p{C}\p{Z}]/u.test(c)) found += c;
    else if (code < 256) found += `\\x${code.toString(16).padStart(2, "0")}`;
    else if (code < 65536) found += `\\u${code.toString(16).padStart(4, "0")}`;
    else found += `\\U${code.toString(16).padStart(8, "0")}`;
  }
  return mark + found + mark;
}

/** `repr(value)` of what JSON gave. */
export function repr(value) {
  if (value === undefined || value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value === "string") return quoted(value);
  if (value instanceof Odd) return oddText(value.text);
  if (Array.isArray(value)) return `[${value.map(repr).join(", ")}]`;
  if (typeof value === "object") {
    return `{${Object.entries(value).map(([k, x]) => `${quoted(k)}: ${repr(x)}`).join(", ")}}`;
  }
  return String(value);
}

/** The first `most` characters of `str(value)`. */
export const cut = (value, most) =>
  Array.from(typeof value === "string" ? value : repr(value)).slice(0, most).join("");

/** `repr(bytes)`. */
export function bytesRepr(bytes) {
  const text = Array.from(bytes, (b) => {
    const named = { 9: "\\t", 10: "\\n", 13: "\\r", 92: "\\\\" }[b];
    return named ?? (b > 31 && b < 127 ? String.fromCharCode(b) : `\\x${b.toString(16).padStart(2, "0")}`);
  }).join("");
  return text.includes("'") && !text.includes('"') ? `b"${text}"` : `b'${text.replaceAll("'", "\\'")}'`;
}

const DEEPEST = 1000;

/** The value of a JSON text. Throws an object {why} with the name of Python's exception. */
export function parseJson(bytes) {
  let text;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw { why: "UnicodeDecodeError" };
  }
  let depth = 0;
  const marked = text.replace(/"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|[[{\]}]/g, (some) => {
    if (some === "[" || some === "{") {
      if (++depth > DEEPEST) throw { why: "RecursionError" };
    } else if (some === "]" || some === "}") depth--;
    else if (some[0] !== '"' && (/[.eE]/.test(some) || !Number.isSafeInteger(Number(some)))) {
      return `{"\\u0000":"${some}"}`;
    }
    return some;
  });
  try {
    JSON.parse(text);
    return JSON.parse(marked, (_, x) =>
      x && typeof x === "object" && typeof x["\0"] === "string" ? new Odd(x["\0"]) : x,
    );
  } catch {
    throw { why: "JSONDecodeError" };
  }
}
