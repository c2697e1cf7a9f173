// The benchmark's result as rows of the course (data/phone_row.schema.json), and ways to take it along.
import { percentile, round } from "./measure.mjs";

/** Name and major version of the browser, like "Chrome 131". */
export function browserName(agent = navigator.userAgent) {
  const known = [
    ["Edge", /Edg(?:A|iOS)?\/(\d+)/], ["Samsung Internet", /SamsungBrowser\/(\d+)/], ["Opera", /OPR\/(\d+)/],
    ["Firefox", /(?:Firefox|FxiOS)\/(\d+)/], ["Chrome", /(?:Chrome|CriOS)\/(\d+)/], ["Safari", /Version\/(\d+).*Safari/],
  ];
  for (const [name, mark] of known) {
    const found = agent.match(mark);
    if (found) return `${name} ${found[1]}`;
  }
  return "unknown browser";
}

/** A first guess at what this is: phone, tablet or computer. */
export function guessForm() {
  const agent = navigator.userAgent;
  if (/iPad|Tablet/.test(agent) || (/Macintosh/.test(agent) && navigator.maxTouchPoints > 1)) return "tablet";
  if (navigator.userAgentData?.mobile || /iPhone|Android.*Mobile/.test(agent)) return "phone";
  return /Android/.test(agent) ? "tablet" : "computer";
}

/**
 * Text as the schema allows it: no control characters or angle brackets, no blank at either end. `most` counts
 * characters, as the schema does, so that none is cut in half; a half that came in stands for nothing, and goes.
 */
export function clean(text, most = 80) {
  const plain = text.replace(/\p{Surrogate}/gu, "").replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029<>]+/g, " ");
  const kept = Array.from(plain.replace(/ +/g, " ")).slice(0, most).join("");
  return kept.replace(/^[\s\u0000-\u0020]+|[\s\u0000-\u0020]+$/g, "");
}

/** The device's name where the browser tells it (Chrome on Android), else "". */
export async function deviceName() {
  try {
    const told = await navigator.userAgentData?.getHighEntropyValues?.(["model"]);
    return clean(told?.model ?? "");
  } catch {
    return "";
  }
}

/** What the browser tells of the processor. */
export async function processor() {
  const parts = [];
  try {
    const told = await navigator.userAgentData?.getHighEntropyValues?.(["architecture", "bitness"]);
    if (told?.architecture) parts.push(`${told.architecture}${told.bitness ? ` ${told.bitness} bit` : ""}`);
  } catch {
    // not told
  }
  if (navigator.hardwareConcurrency) parts.push(`${navigator.hardwareConcurrency} cores`);
  if (navigator.deviceMemory) parts.push(`${navigator.deviceMemory} GiB`);
  parts.push("WebAssembly SIMD", "1 thread");
  return clean(parts.join(", "));
}

/** 32 hex digits that tell one run from every other. */
export function runName() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * Rows of one run, one a model.
 * @param {object} list models.json
 * @param {object} measured what measure.mjs found
 * @param {object} where {form, device, browser, processor, run, warmup, battery}: battery may be null
 */
export function rows(list, measured, where) {
  const date = new Date().toISOString();
  const p50 = new Map(measured.models.map((one) => [one.name, percentile(one.token_ms, 50)]));
  return measured.models.map((one) => {
    const entry = list.models.find((model) => model.name === one.name);
    const main = entry.files.weights ?? entry.files.model;
    const middle = p50.get(one.name);
    const figures = {
      warmup: where.warmup,
      iterations: one.token_ms.length,
      tokens: one.tokens,
      token_ms: one.token_ms,
      p50_ms: middle,
      p95_ms: percentile(one.token_ms, 95),
      tokens_per_second: 1000 / middle,
      first_token_p50_ms: percentile(one.first_ms, 50),
      first_token_p95_ms: percentile(one.first_ms, 95),
      bytes: Object.values(entry.files).reduce((sum, file) => sum + file.bytes, 0),
      sha256: main.sha256,
      ...where.battery,
    };
    if (one.asked) Object.assign(figures, { answers_asked: one.asked, answers_equal: one.equal });
    if (!["fp32", "int8"].includes(one.name)) {
      for (const other of ["fp32", "int8"]) if (p50.has(other)) figures[`ratio_vs_${other}`] = p50.get(other) / middle;
    }
    return {
      name: where.form === "computer" ? "computer.latency" : "phone.latency",
      chapter: 7,
      kind: "measured",
      setting: { model: one.name, browser: where.browser, device: where.device, form: where.form },
      figures,
      provenance: {
        command: "neurolab phone",
        run: where.run,
        date,
        versions: { neurolab: list.versions.neurolab, "onnxruntime-web": list.versions["onnxruntime-web"] },
        processor: where.processor,
        commit: list.versions.commit,
        user_agent: navigator.userAgent.slice(0, 400),
        automated: navigator.webdriver === true,
      },
    };
  });
}

/** Copy text; false where the browser refuses or has no clipboard, with the text selected instead. */
export async function copy(area) {
  try {
    await navigator.clipboard.writeText(area.value);
    return true;
  } catch {
    area.focus();
    area.select();
    return false;
  }
}

/** Offer the text as a file to save. */
export function save(text, name) {
  const address = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  const link = Object.assign(document.createElement("a"), { href: address, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

/** The file to hand to the system's share sheet, or null where the browser shares no files. */
export function shareable(text, name) {
  const file = new File([text], name, { type: "text/plain" });
  return navigator.canShare?.({ files: [file] }) ? file : null;
}
