// The frame of a compressed model's file: its checksum and its deflated parts.
//
// Written out because browsers lack both: WebCrypto has no BLAKE2b, DecompressionStream no preset dictionary.

import { NlabError } from "./nlab_text.mjs";

// --- BLAKE2b (RFC 7693); a 64-bit word is two of 32 bits, the lower one first ---

const IV = Uint32Array.of(
  0xf3bcc908, 0x6a09e667, 0x84caa73b, 0xbb67ae85, 0xfe94f82b, 0x3c6ef372, 0x5f1d36f1, 0xa54ff53a,
  0xade682d1, 0x510e527f, 0x2b3e6c1f, 0x9b05688c, 0xfb41bd6b, 0x1f83d9ab, 0x137e2179, 0x5be0cd19,
);
/** Which words of a block each of the twelve rounds takes, as places in 32-bit words. */
const ORDER = Uint8Array.from(
  "0123456789abcdef" + "ea489fd61c02b753" + "b8c052fdae367194" + "7931dcbe265a40f8" + "905724afe1bc683d" +
    "2c6a0b834d75fe19" + "c51fed4a0763928b" + "db7ec13950f4862a" + "6fe9b308c2d714a5" + "a2847615fb9e3cd0" +
    "0123456789abcdef" + "ea489fd61c02b753",
  (digit) => 2 * parseInt(digit, 16),
);

/** The BLAKE2b of bytes, without a key, `size` bytes long. */
export function blake2b(bytes, size) {
  const [h, v, m] = [Uint32Array.from(IV), new Uint32Array(32), new Uint32Array(32)];
  const block = new Uint8Array(128);
  const words = new DataView(block.buffer);
  h[0] ^= 0x01010000 ^ size;

  const add = (a, b) => ((a >>> 0) + (b >>> 0) > 4294967295 ? 1 : 0); // the carry of a sum

  function mix(a, b, c, d, x, y) {
    let al = v[a] | 0, ah = v[a + 1] | 0, bl = v[b] | 0, bh = v[b + 1] | 0;
    let cl = v[c] | 0, ch = v[c + 1] | 0, dl = v[d] | 0, dh = v[d + 1] | 0;
    let turned;
    for (let half = 0; half < 2; half++) {
      const ml = m[half ? y : x] | 0, mh = m[(half ? y : x) + 1] | 0;
      ah = (ah + bh + add(al, bl)) | 0;
      al = (al + bl) | 0;
      ah = (ah + mh + add(al, ml)) | 0;
      al = (al + ml) | 0;
      dl ^= al;
      dh ^= ah;
      turned = dl;
      if (half) {
        dl = (dl >>> 16) | (dh << 16);
        dh = (dh >>> 16) | (turned << 16);
      } else {
        dl = dh;
        dh = turned;
      }
      ch = (ch + dh + add(cl, dl)) | 0;
      cl = (cl + dl) | 0;
      bl ^= cl;
      bh ^= ch;
      turned = bl;
      if (half) {
        bl = (bl << 1) | (bh >>> 31);
        bh = (bh << 1) | (turned >>> 31);
      } else {
        bl = (bl >>> 24) | (bh << 8);
        bh = (bh >>> 24) | (turned << 8);
      }
    }
    v[a] = al; v[a + 1] = ah; v[b] = bl; v[b + 1] = bh;
    v[c] = cl; v[c + 1] = ch; v[d] = dl; v[d + 1] = dh;
  }

  let at = 0;
  do {
    const part = bytes.subarray(at, at + 128);
    block.fill(0);
    block.set(part);
    at += part.length;
    for (let i = 0; i < 32; i++) m[i] = words.getUint32(4 * i, true);
    v.set(h);
    v.set(IV, 16);
    v[24] ^= at; // the length so far; below 2^32, as a file's length is
    if (at === bytes.length) {
      v[28] = ~v[28];
      v[29] = ~v[29];
    }
    for (let i = 0; i < 192; i += 16) {
      mix(0, 8, 16, 24, ORDER[i], ORDER[i + 1]);
      mix(2, 10, 18, 26, ORDER[i + 2], ORDER[i + 3]);
      mix(4, 12, 20, 28, ORDER[i + 4], ORDER[i + 5]);
      mix(6, 14, 22, 30, ORDER[i + 6], ORDER[i + 7]);
      mix(0, 10, 20, 30, ORDER[i + 8], ORDER[i + 9]);
      mix(2, 12, 22, 24, ORDER[i + 10], ORDER[i + 11]);
      mix(4, 14, 16, 26, ORDER[i + 12], ORDER[i + 13]);
      mix(6, 8, 18, 28, ORDER[i + 14], ORDER[i + 15]);
    }
    for (let i = 0; i < 16; i++) h[i] ^= v[i] ^ v[i + 16];
  } while (at < bytes.length);
  const found = new DataView(new ArrayBuffer(64));
  h.forEach((word, i) => found.setUint32(4 * i, word, true));
  return new Uint8Array(found.buffer, 0, size);
}

// --- deflate (RFC 1951) with a preset dictionary ---

/** What a header usually says: known beforehand to writer and reader, part of the format. */
function usual() {
  const parts = ["norm1", "query", "key", "value", "out", "norm2"].map((part) =>
    part.startsWith("norm") ? part : `attention.${part}`,
  );
  const names = ["norm"];
  for (let i = 7; i >= 0; i--) {
    for (const part of [...parts, "feed_forward.up", "feed_forward.down"]) names.push(`blocks.${i}.${part}`);
  }
  const rows = [...names, "position", "embedding"].map((name) => {
    if (name.includes("norm")) return `["${name}.weight","h",[160]],["${name}.bias","h",[160]]`;
    const wide = { up: "[640,160],[640,1]", down: "[160,640],[160,1]" }[name.split(".").at(-1)];
    return `["${name}.weight","qh",${wide ?? "[160,160],[160,1]"}]`;
  });
  return (
    `${rows.join(",")}],"specs":[{"tables":[[-7,14,8,4],[-1,2,4,5]],"use":[0,0,0,1,1,1]},{"head":0}],"bytes":[` +
    '{"config":{"vocabulary":1024,"context":96,"width":160,"layers":4,"heads":5,"hidden":640,"head":0}' +
    ',"about":{},"coder":"ans","tensors":[["embedding'
  );
}
const USUAL = new TextEncoder().encode(usual());

const EXTRA = [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0];
const LENGTHS = EXTRA.map((_, i) => (i === 28 ? 258 : EXTRA.slice(0, i).reduce((sum, x) => sum + (1 << x), 3)));
const FAR = Array.from({ length: 30 }, (_, i) => Math.max(0, (i >> 1) - 1));
const DISTANCES = FAR.map((_, i) => FAR.slice(0, i).reduce((sum, x) => sum + (1 << x), 1));
const CODE_LENGTHS = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

class CutOff extends Error {}

/** A canonical code from its lengths; null if they leave words over (but for a lone word) or need too many. */
function code(lengths, alone = true) {
  const counts = new Uint16Array(16);
  for (const n of lengths) counts[n]++;
  counts[0] = 0;
  let left = 1;
  for (let n = 1; n < 16; n++) {
    left = 2 * left - counts[n];
    if (left < 0) return null;
  }
  const most = counts.findLastIndex((n) => n > 0);
  if (left > 0 && most > 0 && !(alone && most === 1)) return null;
  const starts = new Uint16Array(16);
  for (let n = 1; n < 15; n++) starts[n + 1] = starts[n] + counts[n];
  const symbols = new Uint16Array(lengths.length);
  lengths.forEach((n, symbol) => {
    if (n) symbols[starts[n]++] = symbol;
  });
  return { counts, symbols, longest: Math.max(most, 1) };
}

const FIXED = Array.from({ length: 288 }, (_, i) => (i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8));

function inflate(data, limit) {
  let out = new Uint8Array(USUAL.length + Math.min(limit, 8 * data.length + 1024));
  out.set(USUAL);
  let [at, bit, size] = [0, 0, USUAL.length];
  const end = USUAL.length + limit;

  const refuse = (why) => {
    throw new NlabError(`Error -3 while decompressing data: ${why}`);
  };
  const bits = (n) => {
    if (8 * data.length - 8 * at - bit < n) throw new CutOff();
    let found = 0;
    for (let i = 0; i < n; i++) {
      found |= ((data[at] >> bit) & 1) << i;
      if (++bit === 8) [at, bit] = [at + 1, 0];
    }
    return found;
  };
  const symbol = ({ counts, symbols, longest }) => {
    let [word, first, index] = [0, 0, 0];
    for (let n = 1; n <= longest; n++) {
      word |= bits(1);
      if (word - counts[n] < first) return symbols[index + word - first];
      index += counts[n];
      first = (first + counts[n]) << 1;
      word <<= 1;
    }
    return -1;
  };
  const put = (byte) => {
    if (size === end) throw new CutOff();
    if (size === out.length) {
      const wider = new Uint8Array(Math.min(end, 2 * out.length));
      wider.set(out);
      out = wider;
    }
    out[size++] = byte;
  };
  const copy = (letters, distances) => {
    for (;;) {
      const found = symbol(letters);
      if (found === 256) return;
      if (found < 0 || found > 285) refuse("invalid literal/length code");
      if (found < 256) {
        put(found);
        continue;
      }
      let n = LENGTHS[found - 257] + bits(EXTRA[found - 257]);
      const step = symbol(distances);
      if (step < 0 || step > 29) refuse("invalid distance code");
      const back = DISTANCES[step] + bits(FAR[step]);
      if (size === end) throw new CutOff();
      if (back > size) refuse("invalid distance too far back");
      for (; n > 0; n--) put(out[size - back]);
    }
  };
  const dynamic = () => {
    const [letters, distances, few] = [bits(5) + 257, bits(5) + 1, bits(4) + 4];
    if (letters > 286 || distances > 30) refuse("too many length or distance symbols");
    const short = new Uint8Array(19);
    for (let i = 0; i < few; i++) short[CODE_LENGTHS[i]] = bits(3);
    const small = code(short, false) ?? refuse("invalid code lengths set");
    const lengths = new Uint8Array(letters + distances);
    for (let have = 0; have < lengths.length; ) {
      const found = Math.max(symbol(small), 0); // a set without any word stands for zeros
      if (found < 16) {
        lengths[have++] = found;
        continue;
      }
      const n = found === 16 ? 3 + bits(2) : found === 17 ? 3 + bits(3) : 11 + bits(7);
      if ((found === 16 && have === 0) || have + n > lengths.length) refuse("invalid bit length repeat");
      lengths.fill(found === 16 ? lengths[have - 1] : 0, have, have + n);
      have += n;
    }
    if (!lengths[256]) refuse("invalid code -- missing end-of-block");
    const first = code(lengths.subarray(0, letters)) ?? refuse("invalid literal/lengths set");
    copy(first, code(lengths.subarray(letters)) ?? refuse("invalid distances set"));
  };

  for (let last = 0; !last; ) {
    last = bits(1);
    const kind = bits(2);
    if (kind === 3) refuse("invalid block type");
    if (kind === 2) dynamic();
    if (kind === 1) copy(code(FIXED), code(new Uint8Array(32).fill(5)));
    if (kind === 0) {
      if (bit) [at, bit] = [at + 1, 0];
      const n = bits(16);
      if ((n ^ 0xffff) !== bits(16)) refuse("invalid stored block lengths");
      for (let i = 0; i < n; i++) put(bits(8));
    }
  }
  if (at + (bit > 0 ? 1 : 0) !== data.length) throw new CutOff();
  return out.subarray(USUAL.length, size);
}

/** What the writer deflated `data` from, at most `limit` bytes of it. */
export function unfold(data, limit, what) {
  try {
    return inflate(data, limit);
  } catch (error) {
    if (error instanceof CutOff) {
      throw new NlabError(`the ${what} is cut off, unfolds to more than ${limit} bytes, or has more behind it`);
    }
    if (error instanceof NlabError) throw new NlabError(`the ${what} is no deflated text (${error.message})`);
    throw error;
  }
}
