// The token of the widget: the page gives it, as a text or as a function that
// fetches one.

/** @typedef {string | (() => string | Promise<string>)} Source */

/** How long before its end a token is replaced, in milliseconds. */
const EARLY = 30_000;

/** Session is what the server knows the user by. */
export class Session {
  /** @type {string | undefined} */
  #token;
  /** @type {Promise<string> | undefined} */
  #asking;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  #closed = false;

  /** @param {Source} source */
  constructor(source) {
    this.source = source;
  }

  /** token is the present one. */
  async token() {
    return this.#token ?? this.#ask();
  }

  /**
   * renewed is another token in place of one that was refused, the same when there
   * is no other.
   *
   * @param {string} refused
   */
  async renewed(refused) {
    if (this.#token !== refused && this.#token !== undefined) return this.#token;
    return this.#ask();
  }

  /** close forgets the token, and one that is on its way is renewed no more. */
  close() {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#token = undefined;
  }

  /** Those who ask at the same time get the same token. */
  #ask() {
    this.#asking ??= this.#fetch().finally(() => (this.#asking = undefined));
    return this.#asking;
  }

  async #fetch() {
    const token = typeof this.source === "function" ? await this.source() : this.source;
    if (typeof token !== "string" || token === "") throw new TypeError("keyvend-pipes: authToken gave no token");
    if (this.#closed) return token;
    this.#token = token;
    clearTimeout(this.#timer);
    const left = lifetime(token);
    // One that seems to have ended already is not replaced at once: the clock here
    // may be wrong, and the server will say.
    if (typeof this.source === "function" && left > EARLY) {
      this.#timer = setTimeout(() => this.#ask().catch(() => {}), left - EARLY);
    }
    return token;
  }
}

/**
 * lifetime is how long a token is good from now on, in milliseconds, 0 when it does
 * not say.
 *
 * @param {string} token
 */
function lifetime(token) {
  try {
    const claims = JSON.parse(atob((token.split(".")[1] ?? "").replaceAll("-", "+").replaceAll("_", "/")));
    return Math.min(Number(claims.exp) * 1000 - Date.now(), 2 ** 31 - 1) || 0;
  } catch {
    return 0;
  }
}
