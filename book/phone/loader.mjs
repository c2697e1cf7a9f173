// Fetch the page's large files once: counted, checked by SHA-256, kept for the next visit, unpacked.
import { sha256 } from "./sha256.mjs";
import { Trouble } from "./trouble.mjs";

export const FORMAT = 1; // of models.json; a newer one is refused
const KEPT = "neurolab-phone-files";
const failed = new Set(); // addresses whose last fetch went wrong

/**
 * The list of what there is, models.json.
 * @param {URL} base folder of the page
 */
export async function manifest(base) {
  const address = new URL("models/models.json", base);
  let text;
  try {
    const answer = await fetch(address);
    if (!answer.ok) throw new Trouble("missing", { file: "models/models.json", status: answer.status });
    text = await answer.text();
  } catch (error) {
    throw error instanceof Trouble ? error : new Trouble("connection", { file: "models/models.json", cause: error });
  }
  let list;
  try {
    list = JSON.parse(text);
  } catch (error) {
    throw new Trouble("damaged", { file: "models/models.json", cause: error });
  }
  if (!(list?.format >= 1) || !Array.isArray(list.models)) throw new Trouble("damaged", { file: "models/models.json" });
  if (list.format > FORMAT) throw new Trouble("too_new", { file: "models/models.json", found: list.format, known: FORMAT });
  return list;
}

/** The cache of this origin, or null where there is none (plain HTTP, or switched off). */
async function cupboard() {
  try {
    return globalThis.caches ? await caches.open(KEPT) : null;
  } catch {
    return null;
  }
}

/** An address that changes with the content, so that no host and no cache hands out an old file. */
function addressOf(base, file) {
  const address = new URL(file.path, base);
  address.searchParams.set("v", file.sha256.slice(0, 16));
  return address.href;
}

/** Whether a file is here already. */
export async function isKept(base, file) {
  const kept = await cupboard();
  return Boolean(kept && (await kept.match(addressOf(base, file))));
}

/** Read a response to its end, telling how many bytes came. */
async function read(answer, say) {
  if (!answer.body?.getReader) {
    const whole = new Uint8Array(await answer.arrayBuffer());
    say(whole.length);
    return whole;
  }
  const chunks = [];
  let size = 0;
  const reader = answer.body.getReader();
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    chunks.push(part.value);
    size += part.value.length;
    say(size);
  }
  const whole = new Uint8Array(size);
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.length;
  }
  return whole;
}

async function gunzip(bytes, name) {
  try {
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  } catch (error) {
    throw new Trouble("damaged", { file: name, cause: error });
  }
}

/** The file as it is to be used, or null if the bytes are not those that models.json names. */
async function checked(bytes, file) {
  const packed = file.path.endsWith(".gz");
  const digest = await sha256(bytes);
  if (digest === file.sha256) return packed ? gunzip(bytes, file.path) : bytes;
  // A host that sends .gz files with Content-Encoding: gzip has the browser unpack them.
  return packed && digest === file.unpacked_sha256 ? bytes : null;
}

/**
 * One file, unpacked: from the cache, or from the host and then kept.
 * @param {URL} base folder of the page
 * @param {object} file path, bytes, sha256 and, for .gz, unpacked_sha256
 * @param {(received: number) => void} say told of the bytes as they come; not called for a kept file
 * @param {(trouble: Trouble) => void} warn told where the file could not be kept
 * @returns {Promise<Uint8Array>}
 */
export async function load(base, file, say = () => {}, warn = () => {}) {
  const address = addressOf(base, file);
  const kept = await cupboard();
  const found = await kept?.match(address);
  if (found) {
    const bytes = await checked(new Uint8Array(await found.arrayBuffer()), file);
    if (bytes) return bytes;
    await kept.delete(address); // damaged since: fetched again
  }
  let raw;
  const cache = failed.has(address) ? "reload" : "default"; // what went wrong may lie in the browser's own cache
  failed.add(address);
  try {
    const answer = await fetch(address, { cache });
    if (!answer.ok) throw new Trouble("missing", { file: file.path, status: answer.status });
    raw = await read(answer, say);
  } catch (error) {
    throw error instanceof Trouble ? error : new Trouble("connection", { file: file.path, cause: error });
  }
  const bytes = await checked(raw, file);
  if (!bytes) {
    const short = raw.length < file.bytes;
    throw new Trouble(short ? "truncated" : "damaged", { file: file.path, found: raw.length, wanted: file.bytes });
  }
  failed.delete(address);
  await keep(kept, address, raw, file, warn);
  return bytes;
}

async function keep(kept, address, raw, file, warn) {
  if (!kept) return;
  try {
    for (const old of await kept.keys()) {
      if (old.url.split("?")[0] === address.split("?")[0]) await kept.delete(old);
    }
    await kept.put(address, new Response(raw, { headers: { "Content-Type": "application/octet-stream" } }));
  } catch (error) {
    warn(new Trouble("storage_full", { file: file.path, cause: error }));
  }
}
