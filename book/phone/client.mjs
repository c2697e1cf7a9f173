// The page's end of the worker: each request is a promise; what comes in between goes to `hear`.
import { Trouble } from "./trouble.mjs";

export class Client {
  constructor() {
    this.next = 1;
    this.waiting = new Map();
    this.broken = null;
    try {
      this.worker = new Worker(new URL("worker.mjs", import.meta.url), { type: "module" });
    } catch (error) {
      this.broken = new Trouble("no_worker", { cause: error });
      return;
    }
    this.worker.addEventListener("message", ({ data }) => this.take(data));
    this.worker.addEventListener("error", (event) => {
      // The script itself could not be fetched or understood.
      event.preventDefault();
      this.broken = new Trouble(navigator.onLine ? "no_worker" : "connection", { file: "worker.mjs" });
      for (const { fail } of this.waiting.values()) fail(this.broken);
      this.waiting.clear();
    });
  }

  take({ id, kind, trouble, ...rest }) {
    const asked = this.waiting.get(id);
    if (!asked) return;
    if (kind === "done" || kind === "trouble") {
      this.waiting.delete(id);
      if (kind === "done") asked.done(rest);
      else asked.fail(new Trouble(trouble.code, { ...trouble.more, cause: { message: trouble.detail } }));
    } else {
      asked.hear({ kind, trouble, ...rest });
    }
  }

  /**
   * @param {string} what list | open | ask | answers | measure
   * @param {object} more the request's own fields
   * @param {(message: object) => void} hear told of progress, tokens and warnings
   * @returns {Promise<object> & {stop: () => void}}
   */
  call(what, more = {}, hear = () => {}) {
    const id = this.next++;
    const promise = new Promise((done, fail) => {
      if (this.broken) {
        fail(this.broken);
        return;
      }
      this.waiting.set(id, { done, fail, hear });
      this.worker.postMessage({ id, what, ...more });
    });
    promise.stop = () => this.worker?.postMessage({ what: "stop", of: id });
    return promise;
  }
}
