// The tenant's own API keys.

import { el, said } from "../../dom.js";
import { copied, deed } from "../controls.js";
import { ask } from "../dialogs.js";
import { form, group, text, tick } from "../forms.js";
import { pager, table } from "../tables.js";
import { at, badge } from "../words.js";

/** @typedef {import("../frame.js").Context} Context */
/** @typedef {import("../frame.js").Page} Page */
/** @typedef {import("../api.js").APIKey} APIKey */

const perPage = 50;

/**
 * @param {Context} context
 * @returns {Promise<Page>}
 */
export async function apiKeys(context) {
  const { client, place } = context;
  const page = await client.apiKeys({ limit: perPage, before: place.query.get("before"), after: place.query.get("after") });
  return {
    title: "API keys",
    content: [
      table(
        "API keys",
        [
          { head: "Name", cell: (k) => said(k.name) },
          { head: "Scopes", cell: (k) => k.scopes.join(", ") },
          { head: "State", cell: (k) => standing(k) },
          { head: "Issued", cell: (k) => at(k.created_at) },
          { head: "By", cell: (k) => issuer(k) },
          { head: "Id", cell: (k) => el("code", {}, said(k.id)) },
          {
            head: "Action",
            cell: (k) =>
              k.revoked_at === null
                ? deed(context, { label: `Revoke ${k.name}`, told: `Revoke ${nameOf(k, page.data)}`, keep: k.id, grave: true, act: () => revoke(context, k) })
                : "–",
          },
        ],
        page.data,
      ),
      pager("Pages of API keys", place, page.list_metadata),
      el("section", {}, el("h2", {}, "Issue an API key"), issue(context)),
      el(
        "section",
        {},
        el("h2", {}, "A key that vends"),
        el(
          "p",
          {},
          "Your backend needs a key with the scope vend. None comes from a browser, so that nobody who gets hold of one can read ",
          "a stored key; an operator issues it:",
        ),
        copied("the operator's command", `go run ./infra/operator issue-api-key ${context.session.tenant_id} "backend" vend`),
        el("p", { class: "help" }, "For a keyvend in AWS add -function NAME-OF-THE-TENANTS-FUNCTION before issue-api-key."),
      ),
    ],
  };
}

/**
 * nameOf tells a key from others of its name that can be revoked.
 *
 * @param {APIKey} key
 * @param {APIKey[]} all
 */
function nameOf({ name, id }, all) {
  return all.some((other) => other.revoked_at === null && other.name === name && other.id !== id) ? `${name} ${id}` : name;
}

/** @param {APIKey} key */
function issuer(key) {
  if (key.issued_by === null) return "An operator";
  return [key.issued_in === "dashboard" ? "In the dashboard, with " : "With ", el("code", {}, said(key.issued_by))];
}

/** @param {APIKey} key */
function standing(key) {
  if (key.revoked_at !== null) return [badge({ words: "Revoked", mood: "bad" }), " ", at(key.revoked_at)];
  if (key.expires_at === null) return badge({ words: "Works", mood: "good" });
  const over = Date.parse(key.expires_at) <= Date.now();
  return [badge(over ? { words: "Expired", mood: "bad" } : { words: "Works until", mood: "good" }), " ", at(key.expires_at)];
}

const scopes = [
  ["manage", "Manage: everything but reading stored keys. The dashboard needs it."],
  ["read", "Read: look, and change nothing."],
  ["widget", "Widget: begin sessions of the widget for users."],
];

/** @param {Context} context */
function issue(context) {
  const name = text({ name: "name", label: "Name", help: "What it is for.", required: true, max: 128 });
  const ticks = scopes.map(([scope = "", label = ""]) => ({ scope, field: tick({ name: "scopes", label }) }));
  const end = text({ name: "expires_at", label: "Ends", type: "datetime-local", help: "Without, it does not end until it is revoked." });
  return form({
    keep: "issue",
    late: context.fail,
    fields: () => [name, end],
    content: [name.node, group("Scopes", ...ticks.map((t) => t.field.node)), end.node],
    submit: "Issue",
    act: () =>
      context.client.issueAPIKey({
        name: name.value().trim(),
        scopes: ticks.filter((t) => t.field.checked()).map((t) => t.scope),
        ...(end.value() !== "" && { expires_at: new Date(end.value()).toISOString() }),
      }),
    done: async (issued) => {
      await showOnce(issued);
      await context.again(`${issued.name} is issued.`);
    },
  });
}

/**
 * showOnce shows a new key's token: here, and never again. So it stays, wherever
 * one goes, until somebody says that it is stored.
 *
 * @param {APIKey & {token: string}} issued
 */
async function showOnce(issued) {
  const stay = (/** @type {Event} */ leaving) => leaving.preventDefault();
  addEventListener("beforeunload", stay);
  await ask(null, {
    title: "The new API key",
    content: [el("p", {}, "It is shown this once and kept nowhere in clear. Put it where it is used."), copied("the new API key", issued.token)],
    submit: "I have stored it",
    cancel: null,
    act: async () => {},
  });
  removeEventListener("beforeunload", stay);
}

/**
 * @param {Context} context
 * @param {APIKey} key
 */
async function revoke(context, key) {
  const done = await ask(context, {
    title: `Revoke ${key.name}?`,
    content: [el(
      "p",
      {},
      "Its id is ",
      el("code", {}, said(key.id)),
      ". Whoever uses it is refused from the next request on, and sessions that were begun with it end, this one included ",
      "if it is its key. It cannot be taken back.",
    )],
    submit: "Revoke",
    grave: true,
    act: async () => {
      await context.client.revokeAPIKey(key.id);
    },
  });
  if (done) await context.again(`${key.name} is revoked.`);
}
