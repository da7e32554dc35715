// Every request that the dashboard makes, and what the answers look like. The
// routes are those of /openapi.json.

/** @typedef {{object: string, data: any[], list_metadata: {before: string | null, after: string | null}}} AnyList */

/**
 * @template T
 * @typedef {{data: T[], list_metadata: {before: string | null, after: string | null}}} List
 */

/**
 * @typedef {object} Integration
 * @property {string} id
 * @property {string} slug
 * @property {string | null} description
 * @property {boolean} enabled
 * @property {string[]} auth_methods
 * @property {{name: string} | null} custom_provider
 * @property {string} created_at
 * @property {string} updated_at
 */

/** @typedef {{parts: Part[], name?: string}} Shape */

/**
 * @typedef {object} Part
 * @property {string} [text]
 * @property {string[]} [one_of]
 * @property {string} [alphabet]
 * @property {string} [extra]
 * @property {number} [length]
 * @property {number} [min_length]
 * @property {number} [max_length]
 * @property {number[]} [groups]
 * @property {boolean} [optional]
 */

/**
 * @typedef {object} ConfigField
 * @property {string} field
 * @property {string} label
 * @property {string} description
 * @property {boolean} required
 * @property {string} [default]
 * @property {string} [example]
 * @property {{value: string, label: string}[]} [options]
 * @property {string} [format]
 * @property {Shape[]} [shapes]
 * @property {{after_last: string}} [derive_from_key]
 */

/** @typedef {{path: string, equals?: string | number | boolean, one_of?: string[], starts_with?: string, exists?: boolean}} Condition */

/** @typedef {{status: number, all: Condition[], verdict: string}} Rule */

/**
 * @typedef {object} Check
 * @property {{in: string, name?: string, template: string}} placement
 * @property {string} method
 * @property {string} url
 * @property {Record<string, string>} [headers]
 * @property {string} [body]
 * @property {number[]} [valid]
 * @property {number[]} [limited]
 * @property {number[]} [invalid]
 * @property {Rule[]} [when]
 */

/**
 * @typedef {object} Definition
 * @property {string} slug
 * @property {string} name
 * @property {boolean} custom
 * @property {string | null} key_hint
 * @property {string | null} help
 * @property {string | null} help_url
 * @property {ConfigField[]} config_fields
 * @property {Check | null} check
 * @property {string} verify_on_save
 * @property {string} on_invalid
 * @property {string} check_interval
 */

/**
 * @typedef {object} CatalogProvider
 * @property {string} slug
 * @property {string} name
 * @property {string} category
 * @property {string[]} auth_methods
 * @property {string} key_page
 * @property {string} key_hint
 * @property {string} [help]
 * @property {ConfigField[]} config_fields
 * @property {Check} [check]
 * @property {string} confidence
 */

/**
 * @typedef {object} Health
 * @property {string} verdict
 * @property {string} reason
 * @property {string} sentence
 * @property {string} checked_at
 * @property {string | null} last_good_at
 * @property {string | null} first_bad_at
 * @property {number} consecutive_unknowns
 * @property {string | null} next_check_at
 */

/**
 * @typedef {object} Account
 * @property {string} id
 * @property {string} user_id
 * @property {string | null} organization_id
 * @property {string} auth_method
 * @property {string | null} api_key_last_4
 * @property {string} state
 * @property {string} provider_slug
 * @property {Record<string, string>} config
 * @property {Record<string, string>} metadata
 * @property {Health | null} health
 * @property {string | null} last_used_at
 * @property {{secret_id: string, slot: string, last_4: string | null, created_at: string, expires_at: string | null, until: string | null}[]} secrets
 * @property {string} created_at
 * @property {string} updated_at
 */

/** @typedef {{verdict: string, reason: string, sentence: string, checked_at: string, cause: string, secret_id: string}} Look */

/** @typedef {{api_key_id: string, window_start: string, count: number, last_read_at: string}} Read */

/** @typedef {{hour: string, vended: number, refused: number}} Hour */

/** @typedef {{frozen: true, reason: string, since: string} | {frozen: false, reason: null, since: null}} Freeze */

/** @typedef {{slug: string, name: string, enabled: boolean, organization_id: string}} Configuration */

/**
 * @typedef {object} APIKey
 * @property {string} id
 * @property {string} name
 * @property {string[]} scopes
 * @property {string} created_at
 * @property {string | null} expires_at
 * @property {string | null} revoked_at
 * @property {string | null} issued_by
 * @property {"api" | "dashboard" | null} issued_in
 */

/** @typedef {{allowed_origins: string[], sessions_not_before: string | null}} Settings */

/** @typedef {{limit?: number, before?: string | null, after?: string | null}} Paging */

/** @typedef {{range_start?: string | null, range_end?: string | null}} Span */

/**
 * @typedef {object} HappeningData
 * @property {string} [id]
 * @property {string} provider_slug
 * @property {string} user_id
 * @property {string | null} organization_id
 * @property {string} [state]
 * @property {string} [error_code]
 * @property {string | null} [error_reason]
 *
 * @typedef {object} Happening
 * @property {string} id
 * @property {string} event
 * @property {HappeningData} data
 * @property {string} created_at
 * @property {{actor: {id: string, source: string, name: string | null}}} context
 */

/** @typedef {{message: string, field?: string, code?: string}} Detail */

/** Refusal is an answer that is not a success, or none at all (status 0). */
export class Refusal extends Error {
  /**
   * @param {number} status
   * @param {string} message the server's sentence
   * @param {{code?: string, details?: Detail[], requestID?: string}} [more]
   */
  constructor(status, message, more = {}) {
    super(message);
    this.status = status;
    this.code = more.code ?? "";
    this.details = more.details ?? [];
    this.requestID = more.requestID ?? "";
  }
}

/**
 * tries gives Idempotency-Keys for one deed: what is sent again, because its answer was
 * lost, has the same, and what was corrected another.
 *
 * @returns {(body: unknown) => string}
 */
export function tries() {
  /** @type {Map<string, string>} */
  const keys = new Map();
  return (body) => {
    const text = JSON.stringify(body);
    const key = keys.get(text) ?? crypto.randomUUID();
    keys.set(text, key);
    return key;
  };
}

/** The service's own address. */
const root = new URL("/", location.href);

/**
 * @typedef {object} Asked
 * @property {Record<string, string | number | null | undefined>} [query] what is null or undefined is left out
 * @property {unknown} [body]
 * @property {AbortSignal} [signal]
 * @property {string} [once] an Idempotency-Key: the same each time that this body is sent for one deed
 */

/**
 * send makes one request.
 *
 * @param {string} bearer
 * @param {string} method
 * @param {string} path
 * @param {Asked} [asked]
 * @returns {Promise<any>} the answer's body, null when it has none
 * @throws {Refusal}
 */
async function send(bearer, method, path, asked = {}) {
  const address = new URL(path.slice(1), root);
  for (const [name, value] of Object.entries(asked.query ?? {})) {
    if (value !== null && value !== undefined) address.searchParams.set(name, String(value));
  }
  const headers = new Headers({ Authorization: `Bearer ${bearer}` });
  if (asked.body !== undefined) headers.set("Content-Type", "application/json");
  if (asked.once) headers.set("Idempotency-Key", asked.once);
  let response;
  try {
    response = await fetch(address, {
      method,
      headers,
      body: asked.body === undefined ? null : JSON.stringify(asked.body),
      signal: asked.signal ?? null,
      cache: "no-store",
      credentials: "omit",
      referrerPolicy: "no-referrer",
      redirect: "error",
    });
  } catch (failure) {
    if (asked.signal?.aborted) throw failure;
    throw new Refusal(0, "keyvend cannot be reached. Look whether it runs and whether you are online, then try again.");
  }
  return read(response);
}

/**
 * @param {Response} response
 * @returns {Promise<any>}
 */
async function read(response) {
  const requestID = response.headers.get("X-Request-ID") ?? "";
  const text = await response.text();
  let body = null;
  try {
    body = text === "" ? null : JSON.parse(text);
  } catch {
    // What is no JSON was not said by keyvend but by something before it.
    throw new Refusal(response.status, `The answer (status ${response.status}) is not keyvend's. Try again in a moment.`, { requestID });
  }
  if (!response.ok) {
    const message = typeof body?.message === "string" ? body.message : `The request failed with status ${response.status}.`;
    throw new Refusal(response.status, message, { code: body?.code, details: body?.errors, requestID });
  }
  return body;
}

/** @typedef {{token: string, expires_at: string, tenant_id: string, scopes: string[]}} Session */

/**
 * signIn makes a session of an API key, which is needed for this and no more.
 *
 * @param {string} key
 * @returns {Promise<Session>}
 */
export function signIn(key) {
  return send(key, "POST", "/keyvend/sessions");
}

/**
 * Client makes requests in a session. renew is asked when the session has ended:
 * it gives another one's token, or throws.
 */
export class Client {
  #token;
  #renew;
  /** @type {Set<Promise<unknown>>} */
  #underWay = new Set();
  /** How often a change was begun or ended: what was read at another number may be out of date. */
  changes = 0;
  /** @type {CatalogProvider[] | null} */
  #catalog = null;

  /**
   * @param {string} token
   * @param {() => Promise<string>} renew
   */
  constructor(token, renew) {
    this.#token = token;
    this.#renew = renew;
  }

  /** renew goes on in another session. */
  async renew() {
    this.#token = await this.#renew();
  }

  /** quiet waits until no change is under way. */
  async quiet() {
    while (this.#underWay.size > 0) await Promise.allSettled([...this.#underWay]);
  }

  /**
   * @param {string} method
   * @param {string} path
   * @param {Asked} [asked]
   */
  async #ask(method, path, asked) {
    const answer = this.#send(method, path, asked);
    if (method === "GET") return answer;
    this.changes += 1;
    this.#underWay.add(answer);
    try {
      return await answer;
    } finally {
      this.changes += 1;
      this.#underWay.delete(answer);
    }
  }

  /**
   * @param {string} method
   * @param {string} path
   * @param {Asked} [asked]
   */
  async #send(method, path, asked) {
    const token = this.#token;
    try {
      return await send(token, method, path, asked);
    } catch (failure) {
      if (!(failure instanceof Refusal) || failure.status !== 401) throw failure;
      // Nothing was done, so it can be asked again.
      if (token === this.#token) await this.renew();
      return send(this.#token, method, path, asked);
    }
  }

  // Providers.

  /**
   * catalog is asked for once: it changes with a release alone.
   *
   * @returns {Promise<CatalogProvider[]>}
   */
  async catalog() {
    this.#catalog ??= (await this.#ask("GET", "/keyvend/catalog")).data;
    return /** @type {CatalogProvider[]} */ (this.#catalog);
  }

  /**
   * @param {string} slug
   * @returns {Promise<CatalogProvider>}
   */
  catalogProvider(slug) {
    return this.#ask("GET", `/keyvend/catalog/${part(slug)}`);
  }

  /**
   * @param {Paging & {order?: string}} page
   * @returns {Promise<List<Integration>>}
   */
  integrations(page) {
    return this.#ask("GET", "/data-integrations", { query: page });
  }

  /**
   * allIntegrations are those of the tenant, which has 500 at most.
   *
   * @returns {Promise<Integration[]>}
   */
  async allIntegrations() {
    /** @type {Integration[]} */
    const all = [];
    for (let after = null; ; ) {
      const page = await this.integrations({ limit: 100, order: "asc", after });
      all.push(...page.data);
      after = page.list_metadata.after;
      if (!after) return all;
    }
  }

  /**
   * @param {string} slug
   * @returns {Promise<Integration>}
   */
  integration(slug) {
    return this.#ask("GET", `/data-integrations/${part(slug)}`);
  }

  /**
   * @param {Record<string, unknown>} body
   * @param {string} once
   * @returns {Promise<Integration>}
   */
  connect(body, once) {
    return this.#ask("POST", "/data-integrations", { body, once });
  }

  /**
   * @param {string} slug
   * @param {{enabled?: boolean, description?: string | null, custom_provider?: unknown}} change
   * @returns {Promise<Integration>}
   */
  changeIntegration(slug, change) {
    return this.#ask("PUT", `/data-integrations/${part(slug)}`, { body: change });
  }

  /**
   * @param {string} slug
   * @returns {Promise<null>}
   */
  removeIntegration(slug) {
    return this.#ask("DELETE", `/data-integrations/${part(slug)}`);
  }

  /**
   * @param {string} slug
   * @returns {Promise<Definition>}
   */
  definition(slug) {
    return this.#ask("GET", `/keyvend/integrations/${part(slug)}`);
  }

  /**
   * @param {string} slug
   * @param {Record<string, unknown>} change
   * @returns {Promise<Definition>}
   */
  define(slug, change) {
    return this.#ask("PATCH", `/keyvend/integrations/${part(slug)}`, { body: change });
  }

  /**
   * @param {string} slug
   * @param {number} hours
   * @returns {Promise<Hour[]>}
   */
  async usage(slug, hours) {
    return (await this.#ask("GET", `/keyvend/integrations/${part(slug)}/usage`, { query: { hours } })).data;
  }

  // Freezes: of an integration, an organization, or, for null, of everything.

  /**
   * @param {Freezable} what
   * @returns {Promise<Freeze>}
   */
  freeze(what) {
    return this.#ask("GET", freezePath(what));
  }

  /**
   * @param {Freezable} what
   * @param {string} reason
   * @returns {Promise<Freeze>}
   */
  setFreeze(what, reason) {
    return this.#ask("PUT", freezePath(what), { body: { reason } });
  }

  /**
   * @param {Freezable} what
   * @returns {Promise<null>}
   */
  endFreeze(what) {
    return this.#ask("DELETE", freezePath(what));
  }

  // Accounts.

  /**
   * @param {Paging & {integration?: string | null, state?: string | null, user_id?: string | null, organization_id?: string | null}} query
   * @param {AbortSignal} [signal]
   * @returns {Promise<List<Account>>}
   */
  accounts(query, signal) {
    return this.#ask("GET", "/keyvend/accounts", { query, ...(signal && { signal }) });
  }

  /**
   * @param {string} id
   * @returns {Promise<Account>}
   */
  account(id) {
    return this.#ask("GET", `/keyvend/accounts/${part(id)}`);
  }

  /**
   * @param {string} id
   * @returns {Promise<Look[]>}
   */
  async looks(id) {
    return (await this.#ask("GET", `/keyvend/accounts/${part(id)}/history`)).data;
  }

  /**
   * @param {string} id
   * @returns {Promise<Read[]>}
   */
  async reads(id) {
    return (await this.#ask("GET", `/keyvend/accounts/${part(id)}/reads`)).data;
  }

  /**
   * @param {string} id
   * @returns {Promise<{accepted: boolean, reason: string | null}>}
   */
  check(id) {
    return this.#ask("POST", `/keyvend/accounts/${part(id)}/check`);
  }

  /**
   * @param {string} id
   * @param {{config?: Record<string, string>, metadata?: Record<string, string>}} change
   * @returns {Promise<Account>}
   */
  amend(id, change) {
    return this.#ask("PATCH", `/keyvend/accounts/${part(id)}`, { body: change });
  }

  /**
   * @param {Account} account
   * @param {string} state
   * @returns {Promise<unknown>}
   */
  setState(account, state) {
    return this.#ask("PUT", connectionPath(account), { query: { organization_id: account.organization_id }, body: { state } });
  }

  /**
   * @param {Account} account
   * @returns {Promise<null>}
   */
  disconnect(account) {
    return this.#ask("DELETE", connectionPath(account), { query: { organization_id: account.organization_id } });
  }

  /**
   * @param {string} user
   * @returns {Promise<unknown>}
   */
  offboardUser(user) {
    return this.#ask("DELETE", `/keyvend/users/${part(user)}`);
  }

  /**
   * @param {string} organization
   * @returns {Promise<unknown>}
   */
  offboardOrganization(organization) {
    return this.#ask("DELETE", `/keyvend/organizations/${part(organization)}`);
  }

  // Organizations.

  /**
   * @param {string} organization
   * @returns {Promise<Configuration[]>}
   */
  async configurations(organization) {
    return (await this.#ask("GET", `/organizations/${part(organization)}/data_integration_configurations`)).data;
  }

  /**
   * @param {string} organization
   * @param {string} slug
   * @param {boolean} enabled
   * @returns {Promise<Configuration>}
   */
  configure(organization, slug, enabled) {
    return this.#ask("PUT", `/organizations/${part(organization)}/data_integration_configurations/${part(slug)}`, { body: { enabled } });
  }

  // API keys, settings, sessions, events.

  /**
   * @param {Paging} page
   * @returns {Promise<List<APIKey>>}
   */
  apiKeys(page) {
    return this.#ask("GET", "/keyvend/api_keys", { query: page });
  }

  /**
   * @param {{name: string, scopes: string[], expires_at?: string}} body
   * @returns {Promise<APIKey & {token: string}>}
   */
  issueAPIKey(body) {
    return this.#ask("POST", "/keyvend/api_keys", { body });
  }

  /**
   * @param {string} id
   * @returns {Promise<null>}
   */
  revokeAPIKey(id) {
    return this.#ask("DELETE", `/keyvend/api_keys/${part(id)}`);
  }

  /** @returns {Promise<Settings>} */
  settings() {
    return this.#ask("GET", "/keyvend/settings");
  }

  /**
   * @param {{allowed_origins?: string[], sessions_not_before?: string}} change
   * @returns {Promise<Settings>}
   */
  changeSettings(change) {
    return this.#ask("PUT", "/keyvend/settings", { body: change });
  }

  /** @returns {Promise<null>} */
  endSessions() {
    return this.#ask("DELETE", "/keyvend/sessions");
  }

  /**
   * @param {Paging & Span & {events?: string | null, organization_id?: string | null, order?: string}} query
   * @param {AbortSignal} [signal]
   * @returns {Promise<List<Happening>>}
   */
  events(query, signal) {
    return this.#ask("GET", "/events", { query, ...(signal && { signal }) });
  }
}

/** @param {Account} account */
function connectionPath({ user_id, provider_slug }) {
  return `/user_management/users/${part(user_id)}/connected_accounts/${part(provider_slug)}`;
}

/** @typedef {{integration: string} | {organization: string} | null} Freezable */

/** @param {Freezable} what */
function freezePath(what) {
  if (what === null) return "/keyvend/freeze";
  if ("integration" in what) return `/keyvend/integrations/${part(what.integration)}/freeze`;
  return `/keyvend/organizations/${part(what.organization)}/freeze`;
}

/**
 * part is one segment of a path. Two dots would be taken for the folder above
 * even when they are encoded, and no id of keyvend's is made of dots alone.
 *
 * @param {string} text
 */
function part(text) {
  if (text === "" || /^\.+$/.test(text)) throw new Refusal(404, "There is nothing of this name.");
  return encodeURIComponent(text);
}
