// <keyvend-pipes>: what a user of the page's app connects, with keys of his own.
// widget.md, in package web, tells of its attributes, properties and events. No key is
// ever in one, nor in an address, a storage or the console, nor in the page once it
// was sent.

import { Failure, Server } from "./api.js";
import { busy, isBusy, open } from "./dialog.js";
import { el } from "../dom.js";
import { KeyForm } from "./form.js";
import { Ledger } from "./ledger.js";
import { list, sentence } from "./list.js";
import { Session, User } from "./session.js";
import { STYLE } from "./style.js";
import { Words } from "./words.js";

/**
 * @typedef {import("./api.js").Offer} Offer
 * @typedef {import("./api.js").Account} Account
 * @typedef {import("./session.js").Source} Source
 */

export class KeyvendPipes extends HTMLElement {
  static observedAttributes = ["token", "base-url", "texts", "locale", "heading-level"];

  #connected = false; // to a page
  /** @type {Source | undefined} */
  #source;
  /** @type {Record<string, string>} */
  #texts = {};
  /** @type {Record<string, string>} */
  #logos = {};
  /** @type {Offer[] | undefined} undefined: not loaded */
  #offers;

  #loads = 0; // that were begun: the newest alone is shown
  /** @type {Promise<void>} */
  #newest = Promise.resolve();
  /** @type {Map<string, Ledger>} */
  #ledgers = new Map(); // those that are unfolded, by account id
  /** @type {KeyForm | undefined} */
  #form; // that is open

  /** @type {AbortController | undefined} */
  #life; // of the requests that are under way
  #user = new User(() => this.#another());
  /** @type {Session | undefined} */
  #session;
  /** @type {Server | undefined} */
  #server;
  #words = new Words({}, undefined);
  /** @type {() => string} what is left of the news */
  #still = () => "";

  #view = el("div");
  #news = el("p", { role: "status", class: "news" });
  #title = el("h2", { id: "title", tabindex: -1 });
  #frame = el("section", { class: "widget", "aria-labelledby": "title", part: "widget" }, this.#title, this.#news, this.#view);

  constructor() {
    super();
    const root = this.attachShadow({ mode: "open" });
    root.adoptedStyleSheets = [STYLE];
    root.append(this.#frame);
  }

  /** A token, or a function that fetches one whenever it is needed. */
  get authToken() {
    return this.#source;
  }

  set authToken(source) {
    this.#source = source;
    if (this.#connected) this.#renew();
  }

  /** Texts in place of those of words.js. */
  get texts() {
    return this.#texts;
  }

  set texts(texts) {
    this.#texts = texts ?? {};
    this.#say();
  }

  /** Addresses of pictures, by slug, for services that are to have one. */
  get logos() {
    return this.#logos;
  }

  set logos(logos) {
    this.#logos = logos ?? {};
    this.#say();
  }

  /** reload loads the list anew. */
  reload() {
    return this.#load();
  }

  connectedCallback() {
    this.#source = this.#early("authToken") ?? this.#source;
    this.#texts = this.#early("texts") ?? (this.hasAttribute("texts") ? parsedTexts(this.getAttribute("texts")) : this.#texts);
    this.#logos = this.#early("logos") ?? this.#logos;
    this.#connected = true;
    addEventListener("pagehide", this.#hide);
    this.#say();
    this.#start();
  }

  disconnectedCallback() {
    this.#connected = false;
    removeEventListener("pagehide", this.#hide);
    this.#end();
  }

  /** A page that is left may be kept whole and come back: without the key. */
  #hide = () => this.#form?.clear();

  /**
   * early is what the page set before this class was known; it lies in the way of
   * the setters.
   *
   * @param {string} name
   */
  #early(name) {
    const value = Object.getOwnPropertyDescriptor(this, name)?.value;
    Reflect.deleteProperty(this, name);
    return value;
  }

  /**
   * @param {string} name
   * @param {string | null} before
   * @param {string | null} after
   */
  attributeChangedCallback(name, before, after) {
    if (!this.#connected || before === after) return;
    if (name === "texts") this.texts = parsedTexts(after);
    else if (name === "locale" || name === "heading-level") this.#say();
    else if (name === "token") this.#renew();
    else this.#start();
  }

  #end() {
    this.#life?.abort();
    this.#session?.close();
    this.#server = undefined;
    this.#newest = Promise.resolve(); // else a list that is late would wait for itself
    this.#form?.clear();
    this.shadowRoot?.querySelector("dialog")?.close();
  }

  /** start begins anew. Without a token it waits for one: the page brings it later. */
  #start() {
    this.#end();
    this.#offers = undefined;
    this.#loading();
    const source = this.#source ?? this.getAttribute("token");
    if (!source) return;
    this.#life = new AbortController();
    this.#user = new User(() => this.#another());
    this.#session = new Session(source, this.#user);
    this.#server = new Server(new URL(this.getAttribute("base-url") ?? "/", import.meta.url).href, this.#session, this.#life.signal);
    this.#load();
  }

  /** another begins anew for another user, who finds nothing of the one before. */
  #another() {
    this.#ledgers.clear();
    this.#announce("");
    this.#start();
  }

  /** renew goes on with another token of the user, and what is open stays open. */
  #renew() {
    const source = this.#source ?? this.getAttribute("token");
    if (!this.#server || !source) return this.#start();
    this.#session?.close();
    this.#server.session = this.#session = new Session(source, this.#user);
    if (!this.#offers) this.#loading();
    this.#load();
  }

  #loading() {
    this.#show(el("p", { role: "status" }, this.#words.say("loading")), true);
  }

  /**
   * announce says what became of something.
   *
   * @param {string} news
   * @param {() => string} [still] what is left of it with a newer list
   */
  #announce(news, still = () => news) {
    this.#still = still;
    if (this.#news.textContent !== news) this.#news.textContent = news; // else it is heard twice
  }

  /**
   * now is an offer as the newest list has it.
   *
   * @param {Offer} offer
   */
  #now({ slug }) {
    return this.#offers?.find((offer) => offer.slug === slug);
  }

  /** say says everything anew. */
  #say() {
    this.#words = new Words(this.#texts, this.getAttribute("locale") ?? undefined);
    this.#frame.lang = this.#words.say("lang");
    this.#title.textContent = this.#words.say("title");
    this.#title.hidden = this.#title.textContent === "";
    this.#rank(this.#frame);
    if (this.#offers) this.#list();
  }

  /**
   * @param {Node} content
   * @param {boolean} [loading]
   */
  #show(content, loading = false) {
    this.#frame.setAttribute("aria-busy", String(loading));
    this.#view.replaceChildren(content);
  }

  /** load shows the list as it is by now; one that is on its way is shown no more. */
  #load() {
    if (this.#server) this.#newest = this.#fetch(this.#server, ++this.#loads);
    return this.#newest;
  }

  /**
   * @param {Server} server
   * @param {number} load
   * @returns {Promise<void>} that this list is shown, or a newer one
   */
  async #fetch(server, load) {
    const late = () => load !== this.#loads || server !== this.#server;
    try {
      const offers = await server.offers();
      if (late()) return this.#newest;
      // What is the same stays, so that nobody's click is lost.
      const same = this.#offers && JSON.stringify(offers) === JSON.stringify(this.#offers);
      this.#offers = offers;
      if (!same) this.#list();
      this.#announce(this.#still(), this.#still);
      this.#refresh(offers);
    } catch (failure) {
      if (late()) return this.#newest;
      this.#offers = undefined;
      this.#announce(this.#still(), this.#still);
      this.#fail(failure);
    }
  }

  #list() {
    const focused = this.#focusedKey();
    this.#show(list(this.#offers ?? [], this.#words, {
      connect: (offer) => this.#connect(offer),
      disconnect: (offer, account) => this.#disconnect(offer, account),
      ledger: (account) => new Ledger(() => this.#ask((server) => server.reads(account.id))),
      ledgers: this.#ledgers,
    }, this.#logos));
    this.#rank(this.#view);
    this.#focus(focused);
  }

  /**
   * refresh loads what is unfolded anew, and forgets what is there no more.
   *
   * @param {Offer[]} offers
   */
  #refresh(offers) {
    const accounts = new Set(offers.map((offer) => offer.account?.id));
    for (const [account, ledger] of this.#ledgers) {
      if (accounts.has(account)) ledger.load();
      else this.#ledgers.delete(account);
    }
  }

  /**
   * rank gives headings the level that the page has for them.
   *
   * @param {Element} within
   */
  #rank(within) {
    const level = Math.min(Math.max(Number(this.getAttribute("heading-level")) || 2, 1), 5);
    for (const heading of within.querySelectorAll("h2, h3")) heading.ariaLevel = String(heading.matches("h2") ? level : level + 1);
  }

  /** @param {unknown} failure */
  #fail(failure) {
    const expired = failure instanceof Failure && failure.expired;
    const retry = el("button", { type: "button", "data-key": "retry", part: "button", click: () => {
      this.#start();
      this.#title.focus(); // the button is gone
    } }, this.#words.say("retry"));
    this.#show(el("div", { role: "alert", class: "about" },
      el("p", { class: "bad" }, expired ? this.#words.say("expired") : `${this.#words.say("failed")} ${this.#why(failure)}`),
      el("div", { class: "actions" }, retry)));
    if (expired) this.#tell("keyvend-expired");
  }

  /**
   * why says a failure in words: the page's, the server's or a general one.
   *
   * @param {unknown} failure
   */
  #why(failure) {
    const words = this.#words;
    if (!(failure instanceof Failure)) return words.say("error");
    if (failure.expired) return words.say("expired");
    if (failure.status === 0) return words.say("offline");
    const own = `error.${failure.code}`;
    return words.has(own) ? words.say(own) : failure.sentence || words.say("error");
  }

  /**
   * ask asks the server, and tells the page when the session has ended.
   *
   * @template T
   * @param {(server: Server) => Promise<T>} question
   * @returns {Promise<T>}
   */
  async #ask(question) {
    if (!this.#server) throw new Failure(401);
    try {
      return await question(this.#server);
    } catch (failure) {
      if (failure instanceof Failure && failure.expired) this.#tell("keyvend-expired");
      throw failure;
    }
  }

  /** @param {Offer} offer */
  #connect(offer) {
    const words = this.#words;
    const server = this.#server;
    const form = new KeyForm(offer, words, async (secret, config) => {
      /** @type {string} */
      let account;
      try {
        account = (await this.#ask((server) => server.store(offer.slug, secret, config))).id;
      } catch (failure) {
        return server === this.#server ? this.#notSaved(failure, offer, dialog) : "";
      }
      this.#tell("keyvend-connected", { slug: offer.slug, account_id: account });
      await this.#load();
      if (server !== this.#server) return ""; // another user is there by now
      dialog.close();
      this.#announce(this.#saved(offer), () => this.#now(offer)?.account?.state === "connected" ? this.#saved(offer) : "");
      return "";
    }, () => dialog.close());
    const title = words.say(offer.account ? "rotateTitle" : "connectTitle", { name: offer.name });
    const dialog = this.#open(title, "dialog", offer, form.input, form.element);
    this.#form = form;
    dialog.addEventListener("close", () => {
      form.clear();
      if (this.#form === form) this.#form = undefined;
    });
  }

  /**
   * notSaved says why a key was not stored, and what next: in the form, or in the
   * list when that is closed by now.
   *
   * @param {unknown} failure
   * @param {Offer} offer
   * @param {HTMLDialogElement} dialog
   */
  #notSaved(failure, { name }, dialog) {
    // What is no Failure is the page's function for tokens: nothing was sent.
    const certain = !(failure instanceof Failure) || failure.refused;
    const reason = this.#why(failure);
    const told = certain && /nothing was stored/i.test(reason);
    const next = missing(failure) ? "nothing" : certain ? "again" : "unsure";
    const why = told ? reason : `${reason} ${this.#words.say(next)}`;
    if (!dialog.open) this.#announce(this.#words.say("notSaved", { name, why }));
    if (outdated(failure)) this.#load();
    return why;
  }

  /**
   * saved says what became of a key that was stored.
   *
   * @param {Offer} offer
   */
  #saved(offer) {
    const words = this.#words;
    const { name } = offer;
    const now = this.#now(offer);
    const health = now?.account?.health;
    if (!now || !health) return words.say("savedUnchecked", { name });
    if (health.verdict === "valid") return words.say("savedValid", { name });
    return `${words.say("saved", { name })} ${sentence(now, health, words)}`;
  }

  /**
   * @param {Offer} offer
   * @param {Account} account
   */
  #disconnect(offer, account) {
    const words = this.#words;
    const server = this.#server;
    const { name, slug } = offer;
    const error = el("p", { role: "alert", class: "bad" });
    const confirm = el("button", { type: "button", class: "danger", part: "button", click: async () => {
      if (isBusy(confirm)) return;
      error.textContent = "";
      const done = busy(confirm, words.say("disconnecting"));
      try {
        await this.#ask((server) => server.disconnect(account.id));
      } catch (failure) {
        if (server !== this.#server) return; // another user is there by now
        done(words.say("disconnect"));
        const why = this.#why(failure);
        error.textContent = why;
        if (!dialog.open) this.#announce(words.say("disconnectFailed", { name, why }));
        if (outdated(failure)) this.#load();
        return;
      }
      this.#tell("keyvend-disconnected", { slug, account_id: account.id });
      await this.#load();
      dialog.close();
      const gone = words.say("disconnectDone", { name });
      if (server === this.#server) this.#announce(gone, () => this.#offers && !this.#now(offer)?.account ? gone : "");
    } }, words.say("disconnect"));
    const cancel = el("button", { type: "button", part: "button", click: () => dialog.close() }, words.say("cancel"));
    const dialog = this.#open(words.say("disconnectTitle", { name }), "alertdialog", offer, cancel,
      el("p", { id: "dialog-text" }, words.say("disconnectText", { name })), error, el("div", { class: "actions" }, cancel, confirm));
    dialog.setAttribute("aria-describedby", "dialog-text");
  }

  /**
   * open opens a dialog about a service, after which the focus is where it came from,
   * or at what has taken its place.
   *
   * @param {string} title
   * @param {"dialog" | "alertdialog"} role
   * @param {Offer} offer
   * @param {HTMLElement} first what has the focus in the beginning
   * @param {...Node} content
   */
  #open(title, role, offer, first, ...content) {
    this.#announce("");
    const from = this.#focusedKey();
    const back = () => this.#focus(from, `rotate ${offer.slug}`, `connect ${offer.slug}`, "retry");
    const dialog = open(/** @type {ShadowRoot} */ (this.shadowRoot), title, role, back, first, ...content);
    this.#rank(dialog);
    return dialog;
  }

  #focusedKey() {
    const active = this.shadowRoot?.activeElement;
    return active instanceof HTMLElement ? (active.dataset["key"] ?? "") : "";
  }

  /**
   * focus puts the focus on the first button that there is of these keys.
   *
   * @param {...string} keys
   */
  #focus(...keys) {
    for (const key of keys.filter((k) => k !== "")) {
      const button = [...this.#view.querySelectorAll("button")].find((b) => b.dataset["key"] === key);
      if (button) return button.focus();
    }
  }

  /**
   * @param {string} event
   * @param {object} [detail]
   */
  #tell(event, detail) {
    this.dispatchEvent(new CustomEvent(event, { detail, bubbles: true, composed: true }));
  }
}

/**
 * outdated tells whether the list may be another after a failure.
 *
 * @param {unknown} failure
 */
function outdated(failure) {
  return failure instanceof Failure && (!failure.refused || missing(failure));
}

/** @param {unknown} failure */
function missing(failure) {
  return failure instanceof Failure && failure.status === 404;
}

/**
 * @param {string | null} json
 * @returns {Record<string, string>}
 */
function parsedTexts(json) {
  try {
    const texts = JSON.parse(json ?? "{}");
    return texts !== null && typeof texts === "object" ? texts : {};
  } catch {
    return {};
  }
}

if (!customElements.get("keyvend-pipes")) customElements.define("keyvend-pipes", KeyvendPipes);
