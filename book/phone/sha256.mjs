// SHA-256 as 64 hex digits. The browser's own where it offers it (HTTPS, localhost), else these lines
// (FIPS 180-4): over plain HTTP on a local network `crypto.subtle` is missing.

/** @param {number} n @returns the first n primes */
function primes(n) {
  const found = [];
  for (let k = 2; found.length < n; k++) if (found.every((p) => k % p)) found.push(k);
  return found;
}

const fraction = (x) => Math.floor((x - Math.floor(x)) * 2 ** 32);
const K = primes(64).map((p) => fraction(Math.cbrt(p)));
const H = primes(8).map((p) => fraction(Math.sqrt(p)));

/** @param {Uint8Array} bytes @returns {string} */
export function slowly(bytes) {
  const blocks = (bytes.length + 72) >>> 6;
  const state = Int32Array.from(H);
  const w = new Int32Array(64);
  const tail = new Uint8Array(128);
  const whole = bytes.length >>> 6;
  tail.set(bytes.subarray(whole << 6));
  tail[bytes.length & 63] = 128;
  const tailView = new DataView(tail.buffer);
  const end = ((blocks - whole) << 6) - 8;
  tailView.setUint32(end, Math.floor(bytes.length / 2 ** 29));
  tailView.setUint32(end + 4, (bytes.length << 3) >>> 0);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let block = 0; block < blocks; block++) {
    const [from, at] = block < whole ? [view, block << 6] : [tailView, (block - whole) << 6];
    for (let i = 0; i < 16; i++) w[i] = from.getInt32(at + 4 * i);
    for (let i = 16; i < 64; i++) {
      const a = w[i - 15];
      const b = w[i - 2];
      const s0 = ((a >>> 7) | (a << 25)) ^ ((a >>> 18) | (a << 14)) ^ (a >>> 3);
      const s1 = ((b >>> 17) | (b << 15)) ^ ((b >>> 19) | (b << 13)) ^ (b >>> 10);
      w[i] = w[i - 16] + s0 + w[i - 7] + s1;
    }
    let [a, b, c, d, e, f, g, h] = state;
    for (let i = 0; i < 64; i++) {
      const s1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
      const t1 = (h + s1 + ((e & f) ^ (~e & g)) + K[i] + w[i]) | 0;
      const s0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
      const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
      [h, g, f, e, d, c, b, a] = [g, f, e, (d + t1) | 0, c, b, a, (t1 + t2) | 0];
    }
    [a, b, c, d, e, f, g, h].forEach((x, i) => (state[i] += x));
  }
  return Array.from(state, (x) => (x >>> 0).toString(16).padStart(8, "0")).join("");
}

/** @param {Uint8Array} bytes @returns {Promise<string>} */
export async function sha256(bytes) {
  if (!globalThis.crypto?.subtle) return slowly(bytes);
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
