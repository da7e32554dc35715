// The list of integrations, with how many accounts each has and how they are.

import { el, fill, said } from "../../dom.js";
import { toggle } from "../controls.js";
import { to } from "../router.js";
import { pager, table } from "../tables.js";
import { badge, verdict } from "../words.js";

/** @typedef {import("../frame.js").Context} Context */
/** @typedef {import("../frame.js").Page} Page */
/** @typedef {import("../api.js").Integration} Integration */

const perPage = 20;

/**
 * @param {Context} context
 * @returns {Promise<Page>}
 */
export async function integrations(context) {
  const { client, place } = context;
  const [page, names] = await Promise.all([
    client.integrations({ limit: perPage, before: place.query.get("before"), after: place.query.get("after") }),
    namesOf(context),
  ]);
  const connect = el("div", { class: "buttons" }, el("a", { class: "button main", href: to(["connect"]) }, "Connect a provider"));
  if (page.data.length === 0) {
    return {
      title: "Integrations",
      content: [
        el(
          "p",
          { class: "empty" },
          "No provider is connected yet. Connect one, and your users can bring their API keys for it in the widget, or your backend over the API.",
        ),
        connect,
      ],
    };
  }
  const rows = page.data.map((integration) => ({ integration, name: names(integration), glance: glance() }));
  return {
    title: "Integrations",
    watch: (signal) => look(context, rows, signal),
    content: [
      connect,
      table(
        "Integrations",
        [
          {
            head: "Provider",
            cell: ({ integration, name }) => [
              el("a", { href: to(["integrations", integration.slug]) }, said(name)),
              " ",
              el("code", {}, said(integration.slug)),
            ],
          },
          { head: "Vending", cell: ({ integration, name }) => vending(context, integration, name) },
          { head: "Accounts", cell: ({ glance }) => glance.accounts },
          { head: "Health", cell: ({ glance }) => glance.health },
        ],
        rows,
      ),
      pager("Pages of integrations", place, page.list_metadata),
    ],
  };
}

/**
 * vending is the switch of an integration.
 *
 * @param {Context} context
 * @param {Integration} integration
 * @param {string} name
 */
export function vending(context, integration, name) {
  return toggle(context, {
    label: `Vend keys of ${name}`,
    on: integration.enabled,
    set: async (enabled) => {
      const now = (await context.client.changeIntegration(integration.slug, { enabled })).enabled;
      const on = "is on: keys are vended, and users see it in the widget.";
      const off = "is off: its accounts stay, and none of their keys is vended.";
      context.tell(`${name} ${now ? on : off}`);
      return now;
    },
  });
}

/**
 * namesOf tells what an integration is called: the catalog says it of its
 * providers.
 *
 * @param {Context} context
 * @returns {Promise<(integration: Integration) => string>}
 */
export async function namesOf(context) {
  const catalog = await context.client.catalog();
  const bySlug = new Map(catalog.map((p) => [p.slug, p.name]));
  return (integration) => integration.custom_provider?.name ?? bySlug.get(integration.slug) ?? integration.slug;
}

/** glance is where the numbers come to once they are known. */
function glance() {
  const wait = () => el("span", { class: "fine" }, "…");
  return { accounts: el("div", {}, wait()), health: el("div", { class: "badges" }, wait()) };
}

/** How many integrations are counted at the same time. */
const atOnce = 4;

/**
 * look counts the accounts of each row, a few rows at a time.
 *
 * @param {Context} context
 * @param {{integration: Integration, name: string, glance: ReturnType<typeof glance>}[]} rows
 * @param {AbortSignal} signal
 */
async function look(context, rows, signal) {
  const waiting = [...rows];
  const work = async () => {
    for (let row = waiting.shift(); row && !signal.aborted; row = waiting.shift()) {
      await show(context, row.integration, row.glance);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, work));
}

/**
 * @param {Context} context
 * @param {Integration} integration
 * @param {ReturnType<typeof glance>} into
 */
async function show(context, integration, into) {
  const { slug } = integration;
  try {
    const [found, frozen] = await Promise.all([count(context, slug), context.client.freeze({ integration: slug })]);
    fill(into.accounts, el("a", { href: to(["accounts"], { integration: slug }) }, found.words));
    fill(into.health, frozen.frozen ? badge({ words: "Frozen", mood: "bad" }) : null, ...healthBadges(found));
  } catch {
    if (context.signal.aborted) return;
    fill(into.accounts, "not known");
    fill(into.health, "not known");
  }
}

/**
 * @typedef {object} Counted
 * @property {number} accounts
 * @property {boolean} more whether there are more than were counted
 * @property {string} words "3 accounts", "100+ accounts"
 * @property {Record<string, number>} verdicts
 * @property {number} needing how many need a new key
 */

/** The most accounts that are counted of an integration, and the pages read for it. */
const most = 100;
const pagesRead = 3;

/**
 * count counts the accounts of an integration: all of them, or the first hundred.
 *
 * @param {Context} context
 * @param {string} slug
 * @returns {Promise<Counted>}
 */
export async function count(context, slug) {
  /** @type {import("../api.js").Account[]} */
  const found = [];
  let after = null;
  for (let read = 0; read < pagesRead; read += 1) {
    const page = await context.client.accounts({ integration: slug, limit: most - found.length, after }, context.signal);
    found.push(...page.data);
    after = page.list_metadata.after;
    if (after === null || found.length >= most) break;
  }
  /** @type {Record<string, number>} */
  const verdicts = {};
  for (const account of found) {
    const name = account.health?.verdict ?? "";
    verdicts[name] = (verdicts[name] ?? 0) + 1;
  }
  const more = after !== null;
  const needing = found.filter((a) => a.state === "needs_reauthorization").length;
  return {
    accounts: found.length,
    more,
    words: `${found.length}${more ? "+" : ""} ${found.length === 1 && !more ? "account" : "accounts"}`,
    verdicts,
    needing,
  };
}

/**
 * healthBadges are the verdicts of counted accounts with their numbers.
 *
 * @param {Counted} counted
 * @returns {(Node | string)[]}
 */
export function healthBadges(counted) {
  if (counted.accounts === 0) return ["–"];
  return ["valid", "limited", "invalid", "unknown", ""]
    .filter((name) => counted.verdicts[name])
    .map((name) => {
      const { words, mood } = verdict(name === "" ? undefined : name);
      const n = counted.verdicts[name] ?? 0;
      const many = words.toLowerCase().replace(/^works/, n === 1 ? "works" : "work");
      return badge({ words: `${n} ${many}`, mood });
    });
}
