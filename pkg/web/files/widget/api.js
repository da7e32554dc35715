// Every request that the widget makes. The user is who the token says.

import { turns } from "../dom.js";

/**
 * @typedef {object} Offer a service that the user may connect
 * @property {string} slug
 * @property {string} name
 * @property {string | null} description
 * @property {string | null} key_hint which key to bring
 * @property {string | null} help
 * @property {string | null} help_url
 * @property {Field[]} config_fields
 * @property {Account | null} account null: not connected
 *
 * @typedef {object} Field a setting that goes with a key
 * @property {string} field
 * @property {string} label
 * @property {string} description
 * @property {boolean} required
 * @property {string} [default]
 * @property {string} [example]
 * @property {{value: string, label: string}[]} [options]
 *
 * @typedef {object} Account
 * @property {string} id
 * @property {string} state
 * @property {string | null} api_key_last_4
 * @property {Record<string, string>} config
 * @property {string | null} expires_at
 * @property {Health | null} health null: nothing is known
 * @property {string | null} last_used_at
 * @property {string} created_at
 *
 * @typedef {object} Health
 * @property {string} verdict
 * @property {string} reason
 * @property {string} sentence
 * @property {string} checked_at
 *
 * @typedef {object} Read
 * @property {string} last_read_at
 * @property {number} count
 * @property {string} api_key_id which of the app's own keys it was read with
 * @property {string | null} api_key_name null: there is no such key any more
 */

/**
 * own is an object's own member: one that is called constructor is like any other.
 *
 * @template T
 * @param {Record<string, T> | undefined} object
 * @param {string} name
 */
export function own(object, name) {
  return object && Object.hasOwn(object, name) ? object[name] : undefined;
}

/** Failure is why a request came to nothing. */
export class Failure extends Error {
  /**
   * @param {number} status 0: there was no answer
   * @param {any} [said]
   */
  constructor(status, said) {
    super(`keyvend-pipes: ${status}`);
    this.status = status;
    this.code = typeof said?.code === "string" ? said.code : "";
    // Without what a setting is called in the API.
    this.sentence = typeof said?.message === "string" ? said.message.replace(/^config\.\S+: /, "") : "";
  }

  /** Whether it is certain that nothing was done. */
  get refused() {
    return this.status >= 400 && this.status < 500;
  }

  /** Whether the token was refused. Other refusals with 403 have a code of their own. */
  get expired() {
    return this.status === 401 || (this.status === 403 && (this.code === "" || this.code === "invalid_widget_token"));
  }
}

/** How long an answer may take, in milliseconds: longer than any that comes. */
const PATIENCE = 40_000;

/** Server is keyvend, as the widget sees it. */
export class Server {
  /**
   * @param {string} base its address
   * @param {import("./session.js").Session} session
   * @param {AbortSignal} signal
   */
  constructor(base, session, signal) {
    this.base = base;
    this.session = session;
    this.signal = signal;
  }

  /** @returns {Promise<Offer[]>} */
  async offers() {
    return (await this.#ask("GET", "/_widgets/keyvend/providers")).data;
  }

  /**
   * reads are the newest uses of an account's key.
   *
   * @param {string} account its id
   * @returns {Promise<Read[]>}
   */
  async reads(account) {
    return (await this.#ask("GET", `/_widgets/keyvend/accounts/${encodeURIComponent(account)}/reads`)).data;
  }

  /**
   * store stores a key, the first or in place of another.
   *
   * @param {string} slug
   * @param {string} secret
   * @param {Record<string, string> | undefined} config undefined keeps what is stored
   * @returns {Promise<{id: string}>} the account
   */
  async store(slug, secret, config) {
    return this.#ask("PUT", `/_widgets/DataIntegrations/${encodeURIComponent(slug)}/api-key`, { secret, config });
  }

  /**
   * disconnect deletes an account and its key.
   *
   * @param {string} account its id
   * @returns {Promise<void>}
   */
  async disconnect(account) {
    await this.#ask("DELETE", `/_widgets/DataIntegrations/installations/${encodeURIComponent(account)}`);
  }

  /**
   * @param {string} method
   * @param {string} path
   * @param {object} [body]
   * @returns {Promise<any>}
   */
  async #ask(method, path, body) {
    const token = await this.session.token();
    try {
      return await this.#send(token, method, path, body);
    } catch (failure) {
      if (!(failure instanceof Failure && failure.expired)) throw failure;
      const another = await this.session.renewed(token);
      if (another === token) throw failure;
      return this.#send(another, method, path, body);
    }
  }

  /**
   * @param {string} token
   * @param {string} method
   * @param {string} path
   * @param {object} [body]
   */
  async #send(token, method, path, body) {
    const headers = { Authorization: `Bearer ${token}`, ...(body && { "Content-Type": "application/json" }) };
    /** @type {Response} */
    let answer;
    try {
      answer = await fetch(new URL(path, this.base), {
        method,
        headers,
        body: body && JSON.stringify(body),
        signal: AbortSignal.any([this.signal, AbortSignal.timeout(PATIENCE)]),
        credentials: "omit",
        cache: "no-store",
        redirect: "error", // a key goes nowhere else
        referrerPolicy: "no-referrer",
      });
    } catch {
      throw new Failure(0);
    }
    const said = await answer.text().then((text) => JSON.parse(text.replace(turns, ""))).catch(() => null); // cut short, or none of ours
    if (!answer.ok || said === null) throw new Failure(answer.status, said);
    return said;
  }
}
