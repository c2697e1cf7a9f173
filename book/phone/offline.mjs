// Airplane mode: the service worker that keeps the page, the sentence that says so, the button to install it.
import { t } from "./words.mjs";

/** Register the service worker where there can be one, and keep the sentence true. */
export function offline() {
  const words = document.getElementById("offline");
  const button = document.getElementById("install");
  let key = "offline_wait";
  const say = (next = key) => {
    key = next;
    words.dataset.t = key;
    words.dataset.state = key;
    words.textContent = t(key);
  };
  addEventListener("language", () => say());

  let shell = false;
  let model = false;
  const judge = () => shell && model && say("offline_ready");
  addEventListener("kept", () => {
    model = true;
    judge();
  });

  if (!window.isSecureContext) say("offline_insecure");
  else if (!("serviceWorker" in navigator)) say("offline_none");
  else {
    navigator.serviceWorker.register(new URL("sw.js", import.meta.url), { updateViaCache: "all" })
      .then(() => navigator.serviceWorker.ready)
      .then(() => {
        shell = true;
        judge();
      })
      .catch((error) => {
        console.info("no service worker:", error.message);
        say("offline_none");
      });
  }

  let prompt = null;
  addEventListener("beforeinstallprompt", (event) => {
    event.preventDefault();
    prompt = event;
    button.hidden = false;
  });
  button.addEventListener("click", async () => {
    button.hidden = true;
    navigator.storage?.persist?.().catch(() => {}); // asked for here only: some browsers put the question to the reader
    await prompt?.prompt();
  });
}
