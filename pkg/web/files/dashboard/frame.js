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
import { el, fill, said } from "./dom.js";
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
 * @property {(failure: unknown) => void} fail says what was not
 * @property {(address: string, words?: string) => void} go leads to another page, and says something there
 * @property {(words?: string) => Promise<void>} again shows the page anew
 * @property {() => Promise<void>} frozen looks again whether all of the tenant is frozen
 * @property {() => void} signOut
 */

/** @typedef {{title: string, content: import("./dom.js").Child[]}} Page */

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

/**
 * frame shows the pages of a session in root until signal ends.
 *
 * @param {HTMLElement} root
 * @param {{client: Client, session: import("./api.js").Session, signal: AbortSignal, signOut: () => void}} of
 */
export function frame(root, of) {
  const told = el("div", { class: "told", role: "status" });
  const failed = el("div", { class: "failed" });
  const ice = el("div", { class: "ice" });
  const main = el("main", { id: "main", tabindex: "-1" });
  const links = menu.map(([name = "", label]) => el("a", { href: to([name]), "data-page": name }, label));
  fill(
    root,
    el("a", { class: "skip", href: "#main", click: (/** @type {Event} */ event) => { event.preventDefault(); main.focus(); } }, "Skip to the page"),
    el(
      "header",
      {},
      el("a", { class: "brand", href: to([]) }, "keyvend"),
      el("nav", { "aria-label": "Pages" }, links),
      el("div", { class: "whose" }, el("span", {}, "Tenant ", el("code", {}, said(of.session.tenant_id))), el("button", { type: "button", click: of.signOut }, "Sign out")),
    ),
    ice,
    told,
    failed,
    main,
  );

  let page = new AbortController();
  let words = "";

  /** @param {boolean} moved whether it is another page than before */
  const show = async (moved) => {
    page.abort();
    page = new AbortController();
    const { signal } = page;
    const place = here();
    const held = /** @type {HTMLElement | null} */ (document.activeElement)?.dataset.keep;
    fill(failed);
    fill(told, words);
    words = "";
    mark(links, place);
    main.setAttribute("aria-busy", "true");
    const waiting = setTimeout(() => moved && fill(main, el("p", { class: "empty" }, "Loading…")), 300);
    /** @type {Context} */
    const context = {
      client: of.client,
      session: of.session,
      place,
      signal,
      tell: (said) => fill(told, said),
      fail: (failure) => {
        if (signal.aborted) return;
        fill(failed, failureNodes(asRefusal(failure)), el("button", { type: "button", click: () => fill(failed) }, "Close"));
      },
      go: (address, said = "") => {
        words = said;
        if (location.hash === address) void show(true);
        else location.hash = address;
      },
      again: (said = "") => {
        words = said;
        return show(false);
      },
      frozen: () => thaw(ice, of.client),
      signOut: of.signOut,
    };
    const made = await make(context);
    clearTimeout(waiting);
    if (signal.aborted) return;
    main.removeAttribute("aria-busy");
    document.title = `${made.title} · keyvend`;
    const heading = el("h1", { tabindex: "-1" }, said(made.title));
    fill(main, heading, made.content);
    const again = held === undefined ? null : main.querySelector(`[data-keep="${CSS.escape(held)}"]`);
    if (again instanceof HTMLElement) again.focus();
    else if (moved) {
      scrollTo(0, 0);
      heading.focus();
    }
  };

  addEventListener("hashchange", () => show(true), { signal: of.signal });
  of.signal.addEventListener("abort", () => page.abort());
  void thaw(ice, of.client);
  void show(false);
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
 * thaw says on every page that all of the tenant is frozen, while it is.
 *
 * @param {HTMLElement} ice
 * @param {Client} client
 */
async function thaw(ice, client) {
  try {
    const frozen = await client.freeze(null);
    fill(
      ice,
      frozen === null
        ? null
        : el("p", {}, el("strong", {}, "Nothing is vended: "), "this tenant is frozen since ", hour(frozen.since), " (", said(frozen.reason), "). ", el("a", { href: to(["settings"]) }, "Settings")),
    );
  } catch {
    fill(ice); // the page itself will say what is wrong
  }
}
