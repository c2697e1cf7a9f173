// The course's tokenizer, byte-level BPE, as Python's: text -> ids -> text. Reads the tokenizer.json that Hugging
// Face's `tokenizers` wrote, and refuses what it was not written for. Tested against Python on every question.

// What Python's str.strip() takes for a blank (String.trim differs by a few).
const BLANKS = "\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";
const END_BLANKS = new RegExp(`[${BLANKS}]+$`, "u");
const START_BLANKS = new RegExp(`^[${BLANKS}]+`, "u");
// \s of the library's regular expressions, spelled out for JavaScript's, which count U+FEFF and not U+0085.
const SPACE = "\\t-\\r\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";

export const ANSWER = 1;
export const END = 2;

// One printable character for each byte, as GPT-2 chose them: itself where it prints, U+0100 onwards elsewhere.
const CHARACTER = (() => {
  const found = [];
  let next = 256;
  for (let byte = 0; byte < 256; byte++) {
    const prints = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    found.push(String.fromCharCode(prints ? byte : next++));
  }
  return found;
})();
const BYTE = new Map(CHARACTER.map((character, byte) => [character, byte]));

/** A pattern of the library in JavaScript's words. */
function pattern(text) {
  return new RegExp(text.replaceAll(/\[\^\\s/g, `[^${SPACE}`).replaceAll("\\s", `[${SPACE}]`), "gu");
}

/** Cut text where the pattern matches; the matches and what stands between them, in order, nothing lost. */
function isolate(text, regexp) {
  const pieces = [];
  let at = 0;
  for (const match of text.matchAll(regexp)) {
    if (match.index > at) pieces.push(text.slice(at, match.index));
    if (match[0]) pieces.push(match[0]);
    at = match.index + match[0].length;
  }
  if (at < text.length) pieces.push(text.slice(at));
  return pieces;
}

export class Tokenizer {
  /** @param {object} json the parsed tokenizer.json; Error that says what is not as expected */
  constructor(json) {
    const steps = json?.pre_tokenizer?.pretokenizers;
    const wanted = json?.model?.type === "BPE" && json.normalizer === null && Array.isArray(steps)
      && steps.every((s, i) => (i === steps.length - 1 ? s.type === "ByteLevel" && !s.use_regex && !s.add_prefix_space
        : s.type === "Split" && s.behavior === "Isolated" && !s.invert && s.pattern?.Regex));
    if (!wanted) throw new Error("tokenizer.json is not a byte-level BPE of this course's kind");
    this.splits = steps.slice(0, -1).map((step) => pattern(step.pattern.Regex));
    this.vocabulary = new Map(Object.entries(json.model.vocab));
    this.ranks = new Map(json.model.merges.map((pair, i) => [Array.isArray(pair) ? pair.join(" ") : pair, i]));
    this.special = new Map(json.added_tokens.map((token) => [token.content, token.id]));
    this.byId = [];
    for (const [token, id] of this.vocabulary) this.byId[id] = token;
    const names = [...this.special.keys()].map((name) => name.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&"));
    this.specials = new RegExp(names.join("|"), "gu");
    this.kept = new Map();
  }

  /** Ids of a question up to and with ANSWER; a closing "?" or "." makes no difference. Error if nothing is left. */
  question(text) {
    const bare = text.replace(START_BLANKS, "").replace(END_BLANKS, "").replace(/[?.]+$/, "").replace(END_BLANKS, "");
    if (!bare) throw new Error("empty question");
    return [...this.encode(bare), ANSWER];
  }

  /** Ids of any text, special tokens recognised where they are written out. */
  encode(text) {
    const ids = [];
    for (const part of isolate(text, this.specials)) {
      if (this.special.has(part)) {
        ids.push(this.special.get(part));
        continue;
      }
      let pieces = [part];
      for (const split of this.splits) pieces = pieces.flatMap((piece) => isolate(piece, split));
      for (const piece of pieces) ids.push(...this.word(piece));
    }
    return ids;
  }

  /** Ids of one piece: its bytes, merged pair by pair, the earliest learned pair first. */
  word(piece) {
    const known = this.kept.get(piece);
    if (known) return known;
    const parts = Array.from(new TextEncoder().encode(piece), (byte) => CHARACTER[byte]);
    for (;;) {
      let best = Infinity;
      let at = -1;
      for (let i = 0; i + 1 < parts.length; i++) {
        const rank = this.ranks.get(`${parts[i]} ${parts[i + 1]}`) ?? Infinity;
        if (rank < best) [best, at] = [rank, i];
      }
      if (at < 0) break;
      parts.splice(at, 2, parts[at] + parts[at + 1]);
    }
    const ids = parts.map((part) => this.vocabulary.get(part));
    if (this.kept.size < 5000) this.kept.set(piece, ids);
    return ids;
  }

  /** The bytes of one token; none for a special one. */
  bytes(id) {
    const token = this.byId[id] ?? "";
    if (this.special.has(token)) return new Uint8Array();
    return Uint8Array.from(token, (character) => BYTE.get(character));
  }

  /** The text of ids up to END; bytes that are no UTF-8 become U+FFFD. */
  decode(ids) {
    const stream = this.stream();
    let text = "";
    for (const id of ids) {
      if (id === END) break;
      text += stream.push(id);
    }
    return text + stream.end();
  }

  /** Decode token by token: push(id) gives what has become readable, end() the rest. */
  stream() {
    const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
    return { push: (id) => decoder.decode(this.bytes(id), { stream: true }), end: () => decoder.decode() };
  }
}
