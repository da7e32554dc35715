// What happens to accounts, as it happens.

import { el, fill, said } from "../../dom.js";
import { form, group, text, tick } from "../forms.js";
import { keyNames } from "../keynames.js";
import { to } from "../router.js";
import { pager, table } from "../tables.js";
import { at, badge, count, eventNames, happening } from "../words.js";

/** @typedef {import("../frame.js").Context} Context */
/** @typedef {import("../frame.js").Page} Page */
/** @typedef {import("../api.js").Happening} Happening */

/** @typedef {Map<string, string>} Names what API keys are called, by their ids */

const perPage = 50;

/** How often the page looks for newer events. */
const every = 3000;

/** The most events that the page holds while it grows. */
const most = 500;

/**
 * @param {Context} context
 * @returns {Promise<Page>}
 */
export async function events(context) {
  const { client, place } = context;
  const filter = filterOf(place);
  const page = await client.events({ ...filter, order: "desc", limit: perPage, before: place.query.get("before"), after: place.query.get("after") });
  /** @type {Names} */
  const names = new Map();
  await learn(context, page.data, names);
  const list = el("div", {}, shown(context, page.data, names));
  const arrived = el("p", { role: "status", class: "fine" }, "New events appear here by themselves.");
  const newest = page.data[0]?.id ?? null;
  const add = async (/** @type {Happening[]} */ newer) => {
    await learn(context, newer, names);
    put(list, context, newer.reverse(), names);
  };
  const older = place.query.get("after") || place.query.get("before");
  return {
    title: "Events",
    content: [filters(context), arrived, list, pager("Pages of events", place, page.list_metadata)],
    // A page of older events stands still.
    ...(!older && { watch: (signal) => follow(context, filter, newest, add, (words) => fill(arrived, words), signal) }),
  };
}

/**
 * learn finds out what the API keys are called that did something. Who it was is not
 * worth failing for.
 *
 * @param {Context} context
 * @param {Happening[]} happenings
 * @param {Names} names
 */
async function learn(context, happenings, names) {
  const ids = happenings.map((e) => e.context.actor.id).filter(isKey);
  await keyNames(context, ids, names).catch(() => {});
}

/** @param {string} id */
function isKey(id) {
  return id.startsWith("api_key_");
}

/**
 * by says who did it: an API key by its name, a user, or keyvend itself.
 *
 * @param {Happening["context"]["actor"]} actor
 * @param {Names} names
 */
function by({ id, source }, names) {
  if (source === "system") return "keyvend itself";
  if (!isKey(id)) return ["the user ", said(id)];
  const name = names.get(id);
  return [name ? el("span", { title: id }, said(name)) : el("code", {}, said(id)), source === "dashboard" ? ", in the dashboard" : ""];
}

/**
 * put puts newer events before those that are listed, which stay as they are: one
 * of them may have the focus.
 *
 * @param {HTMLElement} list
 * @param {Context} context
 * @param {Happening[]} newer newest first
 * @param {Names} names
 */
function put(list, context, newer, names) {
  const rows = list.querySelector("tbody");
  const made = shown(context, newer, names);
  if (!rows) return fill(list, made);
  rows.prepend(...made.querySelectorAll("tbody > tr"));
  while (rows.rows.length > most) rows.deleteRow(-1);
}

/** @param {import("../router.js").Place} place */
function filterOf(place) {
  return {
    events: place.query.get("events"),
    organization_id: place.query.get("organization_id"),
    range_start: place.query.get("from"),
    range_end: place.query.get("until"),
  };
}

/**
 * follow asks for what came after the last event that is known, while the page
 * is in sight.
 *
 * @param {Context} context
 * @param {ReturnType<typeof filterOf>} filter
 * @param {string | null} last
 * @param {(newer: Happening[]) => Promise<void>} show oldest first
 * @param {(words: string) => void} say
 * @param {AbortSignal} signal
 */
async function follow({ client }, filter, last, show, say, signal) {
  while (!signal.aborted) {
    await new Promise((resolve) => setTimeout(resolve, every));
    if (signal.aborted || document.visibilityState === "hidden") continue;
    try {
      const page = await client.events({ ...filter, order: "asc", limit: 100, after: last }, signal);
      const newest = page.data.at(-1);
      if (newest) {
        last = newest.id;
        await show(page.data);
        say(`${count(page.data.length, "new event")}.`);
      }
    } catch {
      if (!signal.aborted) say("New events cannot be fetched at the moment. This page goes on trying.");
    }
  }
}

/**
 * @param {Context} context
 * @param {Happening[]} rows
 * @param {Names} names
 */
function shown(context, rows, names) {
  if (rows.length === 0) {
    const filtered = [...context.place.query.keys()].length > 0;
    return el(
      "p",
      { class: "empty" },
      filtered
        ? ["No event of the last 30 days is like that. ", el("a", { href: to(["events"]) }, "Show all events"), "."]
        : "Nothing has happened within the last 30 days. When a user brings, replaces or loses a key, it shows here.",
    );
  }
  return table(
    "Events, newest first",
    [
      { head: "Event", cell: (e) => badge(happening(e.event)) },
      { head: "When", cell: (e) => at(e.created_at) },
      { head: "User", cell: (e) => (e.data.id ? el("a", { href: to(["accounts", e.data.id]) }, said(e.data.user_id)) : said(e.data.user_id)) },
      { head: "Organization", cell: (e) => (e.data.organization_id === null ? "none" : said(e.data.organization_id)) },
      { head: "Provider", cell: (e) => el("a", { href: to(["integrations", e.data.provider_slug]) }, said(e.data.provider_slug)) },
      { head: "By", cell: (e) => by(e.context.actor, names) },
    ],
    rows,
  );
}

/** @param {Context} context */
function filters(context) {
  const { query } = context.place;
  const chosen = new Set((query.get("events") ?? "").split(","));
  const names = eventNames.map(({ name, words }) => ({ name, field: tick({ name: "events", label: words, checked: chosen.has(name) }) }));
  const organization = text({ name: "organization_id", label: "Organization id", value: query.get("organization_id") ?? "", code: true });
  const from = text({ name: "range_start", label: "From", type: "datetime-local", value: local(query.get("from")) });
  const until = text({ name: "range_end", label: "Until", type: "datetime-local", value: local(query.get("until")) });
  return el(
    "details",
    { class: "filters", open: [...query.keys()].length > 0 },
    el("summary", {}, "Filter"),
    form({
      fields: () => [organization, from, until],
      content: [group("Events", ...names.map((n) => n.field.node)), organization.node, from.node, until.node],
      submit: "Filter",
      beside: [el("a", { href: to(["events"]) }, "Show all")],
      act: async () =>
        context.go(
          to(["events"], {
            events: names.filter((n) => n.field.checked()).map((n) => n.name).join(","),
            organization_id: organization.value().trim(),
            from: stamped(from.value()),
            until: stamped(until.value()),
          }),
        ),
    }),
  );
}

/**
 * stamped is a time of this place as the service reads it.
 *
 * @param {string} value
 */
function stamped(value) {
  return value === "" ? "" : new Date(value).toISOString();
}

/**
 * local is a time as a field of this place shows it.
 *
 * @param {string | null} stamp
 */
function local(stamp) {
  if (!stamp || Number.isNaN(Date.parse(stamp))) return "";
  const time = new Date(stamp);
  return new Date(time.getTime() - time.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}
