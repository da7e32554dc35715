// Connected accounts, by exact filters and page by page.

import { el, said } from "../../dom.js";
import { choice, form, text, tick } from "../forms.js";
import { offboarding } from "../offboarding.js";
import { to } from "../router.js";
import { pager, table } from "../tables.js";
import { badge, lastFour, state, verdict, when } from "../words.js";

/** @typedef {import("../frame.js").Context} Context */
/** @typedef {import("../frame.js").Page} Page */
/** @typedef {import("../api.js").Account} Account */

const perPage = 25;

/**
 * @param {Context} context
 * @returns {Promise<Page>}
 */
export async function accounts(context) {
  const { client, place } = context;
  const get = (/** @type {string} */ name) => place.query.get(name) || null;
  const page = await client.accounts({
    integration: get("integration"),
    state: get("state"),
    user_id: get("user_id"),
    organization_id: place.query.has("alone") ? "" : get("organization_id"),
    limit: perPage,
    before: get("before"),
    after: get("after"),
  });
  return {
    title: "Accounts",
    content: [
      filters(context),
      page.data.length > 0 ? list(page.data) : nothing(context, page.list_metadata.after !== null),
      pager("Pages of accounts", place, page.list_metadata),
      get("user_id") === null ? null : el("section", {}, el("h2", {}, "Offboard"), offboarding(context, { who: "user", id: get("user_id") ?? "" })),
    ],
  };
}

/** @param {Account[]} found */
function list(found) {
  return table(
    "Connected accounts",
    [
      { head: "User", cell: (a) => el("a", { href: to(["accounts", a.id]) }, said(a.user_id)) },
      { head: "Organization", cell: (a) => (a.organization_id === null ? "none" : said(a.organization_id)) },
      { head: "Provider", cell: (a) => said(a.provider_slug) },
      { head: "Key", cell: (a) => lastFour(a.api_key_last_4) },
      { head: "State", cell: (a) => badge(state(a.state)) },
      { head: "Health", cell: (a) => badge(verdict(a.health?.verdict)) },
      { head: "Last vended", cell: (a) => when(a.last_used_at) },
    ],
    found,
  );
}

/**
 * @param {Context} context
 * @param {boolean} more whether there is more to look through
 */
function nothing({ place }, more) {
  if (more) return el("p", { class: "empty" }, "None among these. There are older accounts to look through.");
  const given = [...place.query.keys()];
  const of = place.query.get("integration");
  if (of && given.length === 1) return none(of);
  const filtered = given.length > 0;
  return el(
    "p",
    { class: "empty" },
    filtered
      ? ["No account is like that. Filters are exact: look for a different spelling, or ", el("a", { href: to(["accounts"]) }, "show all accounts"), "."]
      : [
        "No account is connected yet. Accounts come from users who bring a key in the widget, or from your backend with ",
        "PUT /data-integrations/{slug}/api-key. ",
        el("a", { href: to([]) }, "See the integrations"),
        ".",
      ],
  );
}

/**
 * none says how accounts of an integration come to be.
 *
 * @param {string} slug
 */
function none(slug) {
  return el(
    "p",
    { class: "empty" },
    "No account of ",
    said(slug),
    " is connected. Users bring their keys in the widget, or your backend stores them with PUT /data-integrations/",
    said(slug),
    "/api-key. ",
    el("a", { href: to(["integrations", slug]) }, "See the integration"),
    ".",
  );
}

/** @param {Context} context */
function filters(context) {
  const get = (/** @type {string} */ name) => context.place.query.get(name) ?? "";
  const fields = {
    integration: text({ name: "integration", label: "Provider's slug", value: get("integration"), code: true }),
    state: choice({
      name: "state",
      label: "State",
      value: get("state"),
      options: [
        { value: "", label: "any" },
        { value: "connected", label: "Connected" },
        { value: "needs_reauthorization", label: "Needs a new key" },
      ],
    }),
    user_id: text({ name: "user_id", label: "User id", value: get("user_id"), code: true }),
    organization_id: text({ name: "organization_id", label: "Organization id", value: get("organization_id"), code: true }),
    alone: tick({ name: "alone", label: "In no organization", checked: context.place.query.has("alone") }),
  };
  // Only one of the two can be asked for.
  fields.alone.control.addEventListener("change", () => fields.alone.checked() && (fields.organization_id.control.value = ""));
  fields.organization_id.control.addEventListener("input", () => (fields.alone.control.checked = false));
  return el(
    "search",
    { class: "filters" },
    form({
      fields: () => Object.values(fields),
      content: Object.values(fields).map((f) => f.node),
      submit: "Filter",
      beside: [el("a", { href: to(["accounts"]) }, "Show all")],
      act: async () => {
        const query = Object.fromEntries(Object.entries(fields).map(([name, field]) => [name, field.value().trim()]));
        context.go(to(["accounts"], query));
      },
    }),
  );
}
