// The token of the widget.

/** @typedef {string | (() => string | Promise<string>)} Source */

/** How long before its end a token is replaced, in milliseconds. */
const EARLY = 30_000;

/**
 * User is whom the tokens of sessions that follow each other are for: whom the first
 * one is for. What one user has begun is gone on with by nobody else.
 */
export class User {
  /** @type {string | undefined} */
  #known;

  /** @param {() => void} another called when a token is another user's */
  constructor(another) {
    this.another = another;
  }

  /**
   * has tells whether a token is this user's.
   *
   * @param {string} token
   */
  has(token) {
    const { tenant, sub, org_id: organization } = claims(token);
    const user = JSON.stringify([tenant, sub, organization]);
    this.#known ??= user;
    return user === this.#known;
  }
}

/** Session is what the server knows the user by. */
export class Session {
  /** @type {string | undefined} */
  #token;
  /** @type {Promise<string> | undefined} */
  #asking;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  #closed = false;

  /**
   * @param {Source} source
   * @param {User} user
   */
  constructor(source, user) {
    this.source = source;
    this.user = user;
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
    // A text is awaited, too: nobody is another user while a list is being asked for.
    const token = await (typeof this.source === "function" ? this.source() : this.source);
    if (typeof token !== "string" || token === "") throw new TypeError("keyvend-pipes: authToken gave no token");
    if (!this.user.has(token)) {
      if (!this.#closed) this.user.another();
      throw new TypeError("keyvend-pipes: authToken gave another user's token");
    }
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
  return Math.min(Number(claims(token)["exp"]) * 1000 - Date.now(), 2 ** 31 - 1) || 0;
}

/**
 * claims are what a token says, unproven; none when it is no token.
 *
 * @param {string} token
 * @returns {Record<string, unknown>}
 */
export function claims(token) {
  try {
    const said = JSON.parse(atob((token.split(".")[1] ?? "").replaceAll("-", "+").replaceAll("_", "/")));
    return said !== null && typeof said === "object" ? said : {};
  } catch {
    return {};
  }
}
