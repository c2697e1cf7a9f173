// Errors that a reader is told about: a short code, which words.mjs turns into a sentence, and the details.
export class Trouble extends Error {
  /**
   * @param {string} code one of the keys of words.mjs's `trouble`
   * @param {object} more what the sentence names (file, wanted, found, ...), and `cause`
   */
  constructor(code, { cause, ...more } = {}) {
    super(`${code} ${JSON.stringify(more)}`, { cause });
    this.code = code;
    this.more = more;
  }

  /** What can be posted between page and worker. */
  plain() {
    return { code: this.code, more: this.more, detail: String(this.cause?.message ?? "").slice(0, 300) };
  }
}

/** Any error as a Trouble. */
export function asTrouble(error, code = "unexpected") {
  return error instanceof Trouble ? error : new Trouble(code, { cause: error });
}
