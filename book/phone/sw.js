// The service worker: the page's small files, kept at the first visit, served from then on without the network.
// The large files (runtime, models) are kept by loader.mjs. `neurolab book` and `neurolab phone` fill in SHELL,
// the files with their SHA-256, so this script changes whenever one of them does.
const SHELL = {};
const CACHE = "neurolab-phone-shell";
const BASE = new URL("./", self.location);

async function digest(bytes) {
  const found = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(found, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** One file, from the browser's own cache where that holds the right one (the page has just fetched it). */
async function fresh(path, wanted) {
  for (const cache of ["force-cache", "reload"]) {
    const answer = await fetch(new URL(path, BASE), { cache });
    if (!answer.ok) continue;
    const bytes = await answer.clone().arrayBuffer();
    if ((await digest(bytes)) !== wanted) continue;
    return new Response(bytes, { headers: { "Content-Type": answer.headers.get("Content-Type") ?? "" } });
  }
  throw new Error(`${path} is not the file that this version of the page needs`);
}

self.addEventListener("install", (event) => {
  event.waitUntil((async () => {
    const files = await Promise.all(Object.entries(SHELL).map(async ([path, wanted]) => [path, await fresh(path, wanted)]));
    const cache = await caches.open(CACHE + "-next"); // whole or not at all: files of two versions never mix
    for (const [path, file] of files) await cache.put(new URL(path, BASE), file);
    await self.skipWaiting();
  })());
});

self.addEventListener("activate", (event) => {
  event.waitUntil((async () => {
    const next = await caches.open(CACHE + "-next");
    const wanted = await next.keys();
    if (wanted.length) {
      await caches.delete(CACHE);
      const now = await caches.open(CACHE);
      for (const request of wanted) await now.put(request, await next.match(request));
    }
    await caches.delete(CACHE + "-next");
    await self.clients.claim();
  })());
});

self.addEventListener("fetch", (event) => {
  const address = new URL(event.request.url);
  if (event.request.method !== "GET" || !address.href.startsWith(BASE.href)) return;
  const path = address.pathname.slice(BASE.pathname.length) || "index.html";
  if (address.search || !(path in SHELL)) return;
  event.respondWith((async () => {
    const kept = await (await caches.open(CACHE)).match(new URL(path, BASE));
    return kept ?? fetch(event.request);
  })());
});
