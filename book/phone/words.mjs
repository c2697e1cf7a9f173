// Every sentence of the page, in English and Thai. In the page, data-t="key" names one; English stands in the HTML.
// Terms as in the book: โมเดลภาษา (language model), สไปก์ (spike), การควอนไทซ์ (quantization).

const megabytes = (bytes) => (bytes / 1e6).toLocaleString("en", { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const number = (x) => x.toLocaleString("en");

export const WORDS = {
  en: {
    skip: "Skip to the question",
    title: "A language model, on this device",
    lead: "It answers in Thai and English from 1.4 million numbers that now lie in your browser. What you ask stays here.",
    again: "Try again",
    ask_title: "Ask it",
    question_label: "A question about currencies, languages, scripts, cities or units",
    ask: "Ask",
    examples: "Examples",
    answers: "Answers",
    models_title: "Which version of it",
    models_words: "The same network, written down in different ways. Ask each the same thing.",
    here: "on this device",
    measure_title: "Measure this device",
    measure_words: "Each version answers the same questions in turn: first to warm up, then counted. Leave the page in front while it runs.",
    measure_models: "Versions to measure",
    iterations: "Iterations",
    form: "This is a",
    form_phone: "phone",
    form_tablet: "tablet",
    form_computer: "computer",
    device: "Its name, as you would call it",
    start: "Start",
    stop: "Stop",
    result_title: "What this device did",
    row_label: "The result, as rows for the course",
    copy: "Copy",
    save: "Save as a file",
    share: "Share",
    row_words: "Nothing is sent anywhere. Take the file to the computer that has the course and type <code>neurolab measurements add FILE</code>.",
    offline_title: "In airplane mode",
    offline_wait: "Once a version is on this device, the page works without a network.",
    offline_ready: "Ready: close the page, switch to airplane mode, open it again. It answers all the same.",
    offline_insecure: "This address is plain HTTP, where browsers keep no pages, copy no text and tell no battery. Everything else works; over HTTPS or on localhost the page would work in airplane mode too.",
    offline_none: "This browser keeps no pages for later, so the network is needed at each visit. Everything else works.",
    install: "Install as an app",
    footer: "No cookies, no trackers, nothing from other hosts. Runtime: ONNX Runtime (MIT). Facts: Unicode CLDR. Code: MIT.",
    fetching: (got, all) => `Fetching: ${megabytes(got)} of ${megabytes(all)} MB`,
    opening: "Opening the model",
    megabytes: (bytes) => `${megabytes(bytes)} MB`,
    cost: (first, tokens, rate, model) => `first token after ${first} ms · ${tokens} tokens${rate ? ` · ${rate} tokens/s` : ""} · ${model}`,
    nothing: "(no answer)",
    heard: (text) => `Answer: ${text}`,
    phase_open: "Opening the versions",
    phase_idle: (left) => `Idle for ${left} s, to see what the battery does without us`,
    phase_warm: (done, all) => `Warming up: ${done} of ${all}`,
    phase_count: (done, all) => `Counting: ${number(done)} of ${number(all)}`,
    result_words: (iterations, equal, asked) => `${number(iterations)} iterations each, one thread.${asked ? ` Answers equal to Python's: ${equal} of ${asked}.` : ""} p50 is the median; one in twenty took longer than p95.`,
    battery: (before, after) => `Battery: ${before} % before, ${after} % after.`,
    columns: ["version", "p50", "p95", "tokens/s", "first"],
    caption: "Milliseconds per token; first: from the question to its first token.",
    copied: "Copied.",
    copy_by_hand: "This browser does not let a page copy here: the text above is selected, copy it by hand.",
    saved: "Saved as a file.",
    trouble: {
      pick_one: () => "Choose at least one version to measure.",
      stopped_early: () => "Stopped before 100 iterations: too few for a result.",
      connection: (m) => `The connection broke while fetching ${m.file}. What came before is kept.`,
      missing: (m) => `${m.file} is not on this server${m.status ? ` (answer ${m.status})` : ""}.`,
      truncated: (m) => `${m.file} came only in part: ${number(m.found)} of ${number(m.wanted)} bytes.`,
      damaged: (m) => `${m.file} is not the file that this page needs: it is damaged, or another one.`,
      too_new: (m) => `${m.file} is of a newer kind${m.found ? ` (${m.found})` : ""} than this page knows${m.known ? ` (${m.known})` : ""}. Reload the page; if that does not help, update the course.`,
      unreadable: (m) => `${m.file} cannot be opened: it is no model of this course.`,
      memory: (m) => `This device has too little memory free for ${m.file}. Close other pages, or choose a smaller version.`,
      no_wasm: () => "This browser has no WebAssembly, in which the model runs. A newer one has: Chrome 91, Firefox 89, Safari 16.4 or later.",
      no_simd: () => "This browser's WebAssembly lacks SIMD (vector instructions), which the runtime needs. Chrome 91, Firefox 89, Safari 16.4 and later have it.",
      no_unpacking: () => "This browser cannot unpack files (DecompressionStream). Chrome 80, Firefox 113, Safari 16.4 and later can.",
      no_worker: () => "This browser cannot start the page's worker. Chrome 80, Firefox 114, Safari 15 and later can.",
      storage_full: () => "The device's storage is full, so the model is not kept for next time. It works now.",
      save_data: (m) => `This device saves data, so the model (${megabytes(m.bytes)} MB, once) is fetched when you ask your first question.`,
      empty_question: () => "Type a question first.",
      long_question: (m) => `The question is too long: ${m.found} tokens, and the model reads ${m.wanted}.`,
      run: () => "The model stopped in the middle of its answer. Try again, or choose another version.",
      unexpected: () => "Something went wrong that this page did not expect.",
    },
  },
  th: {
    skip: "ข้ามไปที่ช่องคำถาม",
    title: "โมเดลภาษาที่อยู่ในเครื่องนี้",
    lead: "ตอบได้ทั้งไทยและอังกฤษ จากตัวเลข 1.4 ล้านตัวที่อยู่ในเบราว์เซอร์ของคุณแล้ว สิ่งที่คุณถามไม่ถูกส่งไปไหน",
    again: "ลองอีกครั้ง",
    ask_title: "ถาม",
    question_label: "ถามเรื่องสกุลเงิน ภาษา อักษร เมือง หรือหน่วยวัด",
    ask: "ถาม",
    examples: "ตัวอย่าง",
    answers: "คำตอบ",
    models_title: "เลือกรุ่นของโมเดล",
    models_words: "โครงข่ายเดียวกัน แต่บันทึกไว้คนละแบบ ลองถามคำถามเดียวกันกับทุกรุ่น",
    here: "อยู่ในเครื่องแล้ว",
    measure_title: "วัดความเร็วของเครื่องนี้",
    measure_words: "แต่ละรุ่นผลัดกันตอบคำถามชุดเดียวกัน เริ่มด้วยการอุ่นเครื่อง แล้วจึงนับจริง ระหว่างวัดโปรดเปิดหน้านี้ค้างไว้",
    measure_models: "รุ่นที่จะวัด",
    iterations: "จำนวนรอบ",
    form: "เครื่องนี้คือ",
    form_phone: "โทรศัพท์",
    form_tablet: "แท็บเล็ต",
    form_computer: "คอมพิวเตอร์",
    device: "ชื่อเครื่อง ตามที่คุณเรียก",
    start: "เริ่มวัด",
    stop: "หยุด",
    result_title: "ผลของเครื่องนี้",
    row_label: "ผลการวัด ในรูปแบบที่บทเรียนอ่านได้",
    copy: "คัดลอก",
    save: "บันทึกเป็นไฟล์",
    share: "แชร์",
    row_words: "ไม่มีข้อมูลใดถูกส่งออกไป นำไฟล์ไปที่คอมพิวเตอร์ที่มีบทเรียน แล้วพิมพ์ <code>neurolab measurements add FILE</code>",
    offline_title: "ใช้ในโหมดเครื่องบิน",
    offline_wait: "เมื่อโมเดลอยู่ในเครื่องแล้ว หน้านี้จะทำงานได้โดยไม่ต้องใช้เครือข่าย",
    offline_ready: "พร้อมแล้ว: ปิดหน้านี้ เปิดโหมดเครื่องบิน แล้วเปิดหน้านี้ใหม่ โมเดลยังตอบได้เหมือนเดิม",
    offline_insecure: "ที่อยู่นี้เป็น HTTP ธรรมดา เบราว์เซอร์จึงไม่เก็บหน้าเว็บไว้ใช้ออฟไลน์ ไม่ให้หน้าเว็บคัดลอกข้อความ และไม่บอกระดับแบตเตอรี่ อย่างอื่นใช้ได้ตามปกติ หากเปิดผ่าน HTTPS หรือ localhost จะใช้ในโหมดเครื่องบินได้ด้วย",
    offline_none: "เบราว์เซอร์นี้ไม่เก็บหน้าเว็บไว้ใช้ภายหลัง จึงต้องใช้เครือข่ายทุกครั้งที่เปิด อย่างอื่นใช้ได้ตามปกติ",
    install: "ติดตั้งเป็นแอป",
    footer: "ไม่มีคุกกี้ ไม่มีตัวติดตาม ไม่เรียกสิ่งใดจากเซิร์ฟเวอร์อื่น รันไทม์: ONNX Runtime (MIT) ข้อเท็จจริง: Unicode CLDR โค้ด: MIT",
    fetching: (got, all) => `กำลังดาวน์โหลด ${megabytes(got)} จาก ${megabytes(all)} MB`,
    opening: "กำลังเปิดโมเดล",
    megabytes: (bytes) => `${megabytes(bytes)} MB`,
    cost: (first, tokens, rate, model) => `โทเคนแรกใน ${first} ms · ${tokens} โทเคน${rate ? ` · ${rate} โทเคน/วินาที` : ""} · ${model}`,
    nothing: "(ไม่มีคำตอบ)",
    heard: (text) => `คำตอบ: ${text}`,
    phase_open: "กำลังเปิดโมเดลแต่ละรุ่น",
    phase_idle: (left) => `พักเครื่องอีก ${left} วินาที เพื่อดูว่าแบตเตอรี่ลดเท่าไรเมื่อไม่ได้คำนวณ`,
    phase_warm: (done, all) => `กำลังอุ่นเครื่อง รอบที่ ${done} จาก ${all}`,
    phase_count: (done, all) => `กำลังนับ รอบที่ ${number(done)} จาก ${number(all)}`,
    result_words: (iterations, equal, asked) => `วัดรุ่นละ ${number(iterations)} รอบ ใช้หนึ่งเธรด${asked ? ` คำตอบตรงกับ Python ${equal} จาก ${asked} ข้อ` : ""} p50 คือค่ามัธยฐาน และมีหนึ่งในยี่สิบรอบที่ช้ากว่า p95`,
    battery: (before, after) => `แบตเตอรี่ก่อนวัด ${before} % หลังวัด ${after} %`,
    columns: ["รุ่น", "p50", "p95", "โทเคน/วิ", "แรก"],
    caption: "มิลลิวินาทีต่อโทเคน (แรก คือ เวลาจากถามจนได้โทเคนแรก)",
    copied: "คัดลอกแล้ว",
    copy_by_hand: "เบราว์เซอร์ไม่ให้หน้านี้คัดลอกเอง จึงเลือกข้อความด้านบนไว้ให้แล้ว โปรดคัดลอกด้วยตัวเอง",
    saved: "บันทึกเป็นไฟล์แล้ว",
    trouble: {
      pick_one: () => "เลือกอย่างน้อยหนึ่งรุ่นที่จะวัด",
      stopped_early: () => "หยุดก่อนครบ 100 รอบ จึงยังน้อยเกินไปที่จะสรุปผล",
      connection: (m) => `การเชื่อมต่อขาดระหว่างดาวน์โหลด ${m.file} ไฟล์ที่ได้มาครบแล้วยังเก็บไว้`,
      missing: (m) => `ไม่พบ ${m.file} ในเซิร์ฟเวอร์นี้${m.status ? ` (รหัส ${m.status})` : ""}`,
      truncated: (m) => `ได้ ${m.file} มาไม่ครบ: ${number(m.found)} จาก ${number(m.wanted)} ไบต์`,
      damaged: (m) => `${m.file} ไม่ใช่ไฟล์ที่หน้านี้ต้องใช้ อาจเสียหายหรือเป็นไฟล์อื่น`,
      too_new: (m) => `${m.file} เป็นรูปแบบที่ใหม่กว่า${m.found ? ` (${m.found}) ` : ""}ที่หน้านี้รู้จัก${m.known ? ` (${m.known})` : ""} ลองโหลดหน้าใหม่ หากยังไม่ได้ โปรดอัปเดตบทเรียน`,
      unreadable: (m) => `เปิด ${m.file} ไม่ได้ ไม่ใช่โมเดลของบทเรียนนี้`,
      memory: (m) => `หน่วยความจำว่างไม่พอสำหรับ ${m.file} ลองปิดหน้าอื่น หรือเลือกรุ่นที่เล็กกว่า`,
      no_wasm: () => "เบราว์เซอร์นี้ไม่มี WebAssembly ซึ่งโมเดลต้องใช้ โปรดใช้ Chrome 91, Firefox 89, Safari 16.4 หรือใหม่กว่า",
      no_simd: () => "WebAssembly ของเบราว์เซอร์นี้ไม่มี SIMD (คำสั่งแบบเวกเตอร์) ซึ่งรันไทม์ต้องใช้ โปรดใช้ Chrome 91, Firefox 89, Safari 16.4 หรือใหม่กว่า",
      no_unpacking: () => "เบราว์เซอร์นี้แตกไฟล์ที่บีบอัดไม่ได้ (DecompressionStream) โปรดใช้ Chrome 80, Firefox 113, Safari 16.4 หรือใหม่กว่า",
      no_worker: () => "เบราว์เซอร์นี้เริ่มเวิร์กเกอร์ของหน้านี้ไม่ได้ โปรดใช้ Chrome 80, Firefox 114, Safari 15 หรือใหม่กว่า",
      storage_full: () => "พื้นที่เก็บข้อมูลของเครื่องเต็ม จึงเก็บโมเดลไว้ใช้ครั้งหน้าไม่ได้ แต่ตอนนี้ใช้งานได้ตามปกติ",
      save_data: (m) => `เครื่องนี้เปิดโหมดประหยัดข้อมูล โมเดล (${megabytes(m.bytes)} MB ดาวน์โหลดครั้งเดียว) จึงจะเริ่มโหลดเมื่อคุณถามคำถามแรก`,
      empty_question: () => "พิมพ์คำถามก่อน",
      long_question: (m) => `คำถามยาวเกินไป: ${m.found} โทเคน โมเดลอ่านได้ ${m.wanted} โทเคน`,
      run: () => "โมเดลหยุดกลางคัน ลองอีกครั้ง หรือเลือกรุ่นอื่น",
      unexpected: () => "เกิดข้อผิดพลาดที่หน้านี้ไม่ได้คาดไว้",
    },
  },
};

const KEY = "neurolab-phone-language";
let language = "en";

function remembered() {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null; // storage switched off
  }
}

/** The words of the language in use: t("ask"), t("fetching", 1, 2). */
export function t(key, ...more) {
  const found = WORDS[language][key];
  return typeof found === "function" ? found(...more) : found;
}

export const current = () => language;

/** A Trouble's sentence. */
export function sentence({ code, more }) {
  const words = WORDS[language].trouble;
  return (words[code] ?? words.unexpected)(more ?? {});
}

/** Whether text is Thai, for its lang attribute. */
export const languageOf = (text) => (/[\u0e00-\u0e7f]/.test(text) ? "th" : "en");

/** Put one language on the page, and remember it. */
export function speak(wanted, remember = true) {
  language = wanted in WORDS ? wanted : "en";
  document.documentElement.lang = language;
  for (const element of document.querySelectorAll("[data-t]")) element.innerHTML = t(element.dataset.t);
  for (const button of document.querySelectorAll("[data-language]")) {
    button.setAttribute("aria-pressed", String(button.dataset.language === language));
  }
  if (remember) {
    try {
      localStorage.setItem(KEY, language);
    } catch {
      // a browser that keeps nothing asks again next time
    }
  }
  dispatchEvent(new CustomEvent("language"));
}

/** The language to begin with: the reader's last choice, else the browser's. */
export function firstLanguage() {
  return remembered() ?? (navigator.languages?.some((l) => l.toLowerCase().startsWith("th")) ? "th" : "en");
}
