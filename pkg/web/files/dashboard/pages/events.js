// What happens to accounts, as it happens.

import { el, fill, said } from "../../dom.js";
import { form, group, text, tick } from "../forms.js";
import { to } from "../router.js";
import { pager, table } from "../tables.js";
import { at, badge, count, eventNames, happening } from "../words.js";

/** @typedef {import("../frame.js").Context} Context */
/** @typedef {import("../frame.js").Page} Page */
/** @typedef {import("../api.js").Happening} Happening */

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
  const list = el("div", {}, shown(context, page.data));
  const arrived = el("p", { role: "status", class: "fine" }, "New events appear here by themselves.");
  const newest = page.data[0]?.id ?? null;
  const add = (/** @type {Happening[]} */ newer) => put(list, context, newer.reverse());
  const older = place.query.get("after") || place.query.get("before");
  return {
    title: "Events",
    content: [filters(context), arrived, list, pager("Pages of events", place, page.list_metadata)],
    // A page of older events stands still.
    ...(!older && { watch: (signal) => follow(context, filter, newest, add, (words) => fill(arrived, words), signal) }),
  };
}

/**
 * put puts newer events before those that are listed, which stay as they are: one
 * of them may have the focus.
 *
 * @param {HTMLElement} list
 * @param {Context} context
 * @param {Happening[]} newer newest first
 */
function put(list, context, newer) {
  const rows = list.querySelector("tbody");
  const made = shown(context, newer);
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
 * @param {(newer: Happening[]) => void} show oldest first
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
        show(page.data);
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
 */
function shown(context, rows) {
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
      { head: "By", cell: (e) => said(e.context.actor.name ?? e.context.actor.source) },
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
