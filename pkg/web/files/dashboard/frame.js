// What stands around every page, and how a page comes into it.

import { Client } from "./api.js";
import { account } from "./pages/account.js";
import { accounts } from "./pages/accounts.js";
import { apiKeys } from "./pages/apikeys.js";
import { connect, connectProvider } from "./pages/connect.js";
import { customProvider } from "./pages/custom.js";
import { events } from "./pages/events.js";
import { integration } from "./pages/integration.js";
import { integrations } from "./pages/integrations.js";
import { organization, organizations } from "./pages/organizations.js";
import { settings } from "./pages/settings.js";
import { el, fill, plain, said } from "../dom.js";
import { drawAnew } from "./drafts.js";
import { asRefusal, failureNodes } from "./forms.js";
import { here, to } from "./router.js";
import { hour } from "./words.js";

/**
 * A Context is what a page gets.
 *
 * @typedef {object} Context
 * @property {Client} client
 * @property {import("./api.js").Session} session
 * @property {import("./router.js").Place} place
 * @property {AbortSignal} signal ends when the page is left
 * @property {(words: string) => void} tell says what was done
 * @property {(failure: unknown) => void} fail says what was not, also when the page was left meanwhile
 * @property {(address: string, words?: string) => void} go leads to another page, and says something there; who has left already only hears it
 * @property {(words?: string) => Promise<void>} again draws the page anew, and then says something; who has left only hears it
 * @property {() => Promise<void>} frozen looks again whether all of the tenant is frozen
 * @property {() => void} signOut
 */

/**
 * A Page is what is drawn. watch goes on once it is there, until its signal says
 * that it is left or drawn anew.
 *
 * @typedef {{title: string, content: import("../dom.js").Child[], watch?: (signal: AbortSignal) => Promise<void>}} Page
 */

/** @typedef {(context: Context, name: string) => Promise<Page>} PageMaker */

/**
 * The pages: those of a list, and those of one thing of it.
 *
 * @type {Record<string, {all?: PageMaker, one?: PageMaker, within?: string}>}
 */
const pages = {
  integrations: { all: integrations, one: integration },
  connect: { all: connect, one: connectProvider, within: "integrations" },
  "custom-provider": { all: customProvider, within: "integrations" },
  accounts: { all: accounts, one: account },
  organizations: { all: organizations, one: organization },
  events: { all: events },
  "api-keys": { all: apiKeys },
  settings: { all: settings },
};

const menu = [
  ["integrations", "Integrations"],
  ["accounts", "Accounts"],
  ["organizations", "Organizations"],
  ["events", "Events"],
  ["api-keys", "API keys"],
  ["settings", "Settings"],
];

/** @typedef {{client: Client, session: import("./api.js").Session, signal: AbortSignal, signOut: () => void, entered: boolean}} Visit */

/**
 * frame shows the pages of a session in root until its signal ends; entered: somebody
 * has just signed in, and goes on at the page's heading.
 *
 * @param {HTMLElement} root
 * @param {Visit} of
 * @returns {(failure: unknown) => void} tells of a failure, on whichever page
 */
export function frame(root, of) {
  const made = new Frame(of);
  made.begin(root);
  return (failure) => made.fail(failure);
}

class Frame {
  #told = el("div", { class: "told", role: "status" });
  #failed = el("div", { class: "failed" });
  #ice = el("div", { class: "ice" });
  #main = el("main", { id: "main", tabindex: "-1" });
  #links = menu.map(([name = "", label]) => el("a", { href: to([name]), "data-page": name }, label));

  #page = new AbortController(); // ends when the page is left
  #drawing = new AbortController(); // ends when it is drawn anew, or left
  #drawn = ""; // the path of what is there
  #words = ""; // to be said with the next drawing
  /** @type {Element | null} */
  #left = null; // what had the focus when the page before was left

  /** @param {Visit} of */
  constructor(of) {
    this.of = of;
    this.thaw = thawing(this.#ice, of.client);
  }

  /** @param {HTMLElement} root */
  begin(root) {
    const { signal, entered } = this.of;
    fill(root, this.#skip(), this.#header(), this.#ice, this.#told, this.#failed, this.#main);
    addEventListener("hashchange", () => {
      void this.thaw();
      void this.#show(true);
    }, { signal });
    signal.addEventListener("abort", () => {
      this.#page.abort();
      this.#drawing.abort();
    });
    void this.thaw();
    void this.#show(entered);
  }

  #skip() {
    const skip = (/** @type {Event} */ event) => {
      event.preventDefault();
      this.#main.focus();
    };
    return el("a", { class: "skip", href: "#main", click: skip }, "Skip to the page");
  }

  #header() {
    const { session, signOut } = this.of;
    return el(
      "header",
      {},
      el("a", { class: "brand", href: to([]) }, "keyvend"),
      el("nav", { "aria-label": "Pages" }, this.#links),
      el(
        "div",
        { class: "whose" },
        el("span", {}, "Tenant ", el("code", {}, said(session.tenant_id))),
        el(
          "button",
          { type: "button", click: signOut, title: "Forgets the session in this tab. Sign everyone out, in the settings, ends it everywhere." },
          "Sign out",
        ),
      ),
    );
  }

  /**
   * show makes the page of the address, and draws it.
   *
   * @param {boolean} moved whether it is another page than before
   */
  async #show(moved) {
    const place = here();
    if (moved) this.#move();
    this.#drawing.abort();
    this.#drawing = new AbortController();
    const { signal } = this.#drawing;
    mark(this.#links, place);
    this.#main.setAttribute("aria-busy", "true");
    const path = to(place.path);
    const loading = () => !signal.aborted && path !== this.#drawn && fill(this.#main, el("p", { class: "empty" }, "Loading…"));
    const waiting = setTimeout(loading, 300);
    const made = await settled(this.of.client, this.#contextOf(place, this.#page.signal), signal);
    clearTimeout(waiting);
    if (signal.aborted) return;
    this.#draw(made, path, moved);
    void made.watch?.(signal);
  }

  /** move leaves the page that is there. */
  #move() {
    this.#page.abort();
    this.#page = new AbortController();
    this.#left = document.activeElement;
    fill(this.#failed);
    fill(this.#told);
  }

  /**
   * @param {Page} made
   * @param {string} path
   * @param {boolean} moved
   */
  #draw(made, path, moved) {
    const main = this.#main;
    main.removeAttribute("aria-busy");
    document.title = `${plain(made.title)} · keyvend`;
    const heading = el("h1", { tabindex: "-1" }, said(made.title));
    if (path === this.#drawn) {
      drawAnew(main, heading, made.content);
    } else {
      fill(main, heading, made.content);
      scrollTo(0, 0);
    }
    this.#drawn = path;
    if (moved && this.#waits()) heading.focus();
    if (this.#words !== "") fill(this.#told, plain(this.#words));
    this.#words = "";
  }

  /** waits: the focus has gone nowhere since the page before was left. */
  #waits() {
    const on = document.activeElement;
    return on === document.body || (on === this.#left && !this.#main.contains(on));
  }

  /**
   * @param {import("./router.js").Place} place
   * @param {AbortSignal} signal
   * @returns {Context}
   */
  #contextOf(place, signal) {
    const { client, session, signOut } = this.of;
    const tell = (/** @type {string} */ said) => fill(this.#told, plain(said));
    return {
      client,
      session,
      place,
      signal,
      tell,
      fail: (failure) => this.fail(failure),
      go: (address, said = "") => {
        if (signal.aborted) return tell(said);
        this.#words = said;
        if (location.hash === address) void this.#show(true);
        else location.hash = address;
      },
      again: async (said = "") => {
        if (signal.aborted) return tell(said);
        this.#words = said;
        fill(this.#failed);
        await this.#show(false);
      },
      frozen: this.thaw,
      signOut,
    };
  }

  /** @param {unknown} failure */
  fail(failure) {
    if (failure instanceof DOMException && failure.name === "AbortError") return; // nobody waits for it
    const close = el("button", { type: "button", click: () => fill(this.#failed) }, "Close");
    fill(this.#failed, failureNodes(asRefusal(failure)), close);
  }
}

/**
 * settled makes a page of what is stored now: not while a change is under way, and
 * again when there was one meanwhile, whose answer may be the older one.
 *
 * @param {Client} client
 * @param {Context} context
 * @param {AbortSignal} signal ends when nobody waits for it any more
 * @returns {Promise<Page>}
 */
async function settled(client, context, signal) {
  for (;;) {
    await client.quiet();
    const before = client.changes;
    const made = await make(context);
    if (signal.aborted || client.changes === before) return made;
  }
}

/**
 * make makes the page of a place, or says why there is none.
 *
 * @param {Context} context
 * @returns {Promise<Page>}
 */
async function make(context) {
  const [name = "integrations", thing, ...rest] = context.place.path;
  const kind = Object.hasOwn(pages, name) ? pages[name] : undefined;
  const maker = rest.length > 0 ? undefined : thing === undefined ? kind?.all : kind?.one;
  if (!maker) {
    return { title: "No such page", content: [el("p", {}, "There is no page of this address. ", el("a", { href: to([]) }, "Go to the integrations"), ".")] };
  }
  try {
    return await maker(context, thing ?? "");
  } catch (failure) {
    if (context.signal.aborted) return { title: "", content: [] };
    return {
      title: "This page cannot be shown",
      content: [failureNodes(asRefusal(failure)), el("div", { class: "buttons" }, el("button", { type: "button", click: () => context.again() }, "Try again"))],
    };
  }
}

/**
 * @param {HTMLElement[]} links
 * @param {import("./router.js").Place} place
 */
function mark(links, place) {
  const name = place.path[0] ?? "integrations";
  const section = (Object.hasOwn(pages, name) && pages[name]?.within) || name;
  for (const link of links) {
    if (link.dataset.page === section) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

/**
 * thawing is what says on every page that all of the tenant is frozen, while it
 * is. Of answers that overtake each other the last question's counts.
 *
 * @param {HTMLElement} ice
 * @param {Client} client
 * @returns {() => Promise<void>}
 */
function thawing(ice, client) {
  let asked = 0;
  return async () => {
    asked += 1;
    const mine = asked;
    const frozen = await client.freeze(null).catch(() => null); // the page itself will say what is wrong
    if (mine !== asked) return;
    fill(
      ice,
      !frozen?.frozen
        ? null
        : el(
          "p",
          {},
          el("strong", {}, "Nothing is vended: "),
          "this tenant is frozen since ",
          hour(frozen.since),
          " (",
          said(frozen.reason),
          "). ",
          el("a", { href: to(["settings"]) }, "Settings"),
        ),
    );
  };
}
