// One account: whether its key works, who reads it, what stands beside it.

import { el, said } from "../../dom.js";
import { looksTable, strip } from "../charts.js";
import { deed } from "../controls.js";
import { ask } from "../dialogs.js";
import { Refusal } from "../api.js";
import { pairs } from "../editors.js";
import { form } from "../forms.js";
import { keyNames } from "../keynames.js";
import { to } from "../router.js";
import { table } from "../tables.js";
import { at, badge, count, lastFour, state, verdict, when } from "../words.js";

/** @typedef {import("../frame.js").Context} Context */
/** @typedef {import("../frame.js").Page} Page */
/** @typedef {import("../api.js").Account} Account */
/** @typedef {import("../api.js").Definition} Definition */

/**
 * @param {Context} context
 * @param {string} id
 * @returns {Promise<Page>}
 */
export async function account(context, id) {
  const { client } = context;
  const [found, looks, reads] = await Promise.all([client.account(id), client.looks(id), client.reads(id)]);
  const [definition, keys] = await Promise.all([client.definition(found.provider_slug), keyNames(context, reads.map((r) => r.api_key_id))]);
  return {
    title: `${found.user_id} at ${found.provider_slug}`,
    content: [
      found.state === "needs_reauthorization" ? needs(found) : null,
      facts(found),
      el(
        "div",
        { class: "buttons" },
        deed(context, { label: "Check now", keep: "check", act: () => checkNow(context, found) }),
        turning(context, found),
        deed(context, { label: "Disconnect", grave: true, act: () => disconnect(context, found) }),
      ),
      el(
        "section",
        {},
        el("h2", {}, "Health"),
        health(found),
        looks.length > 0
          ? [strip(looks), looksTable(looks)]
          : el("p", { class: "empty" }, "Nobody has looked at this key yet. Check now asks its provider."),
      ),
      el("section", {}, el("h2", {}, "Who read the key"), readers(reads, keys)),
      el("section", {}, el("h2", {}, "Stored keys"), secrets(found)),
      el("section", {}, el("h2", {}, "Settings of the key"), settings(found, definition)),
      el("section", {}, el("h2", {}, "Metadata"), metadata(context, found)),
    ],
  };
}

/**
 * needs says in words what to do for an account that vends nothing.
 *
 * @param {Account} account
 */
function needs(account) {
  return el(
    "div",
    { class: "notice bad" },
    el(
      "p",
      {},
      el("strong", {}, "This account needs a new key, and nothing is vended for it until then. "),
      account.health?.verdict === "invalid" ? said(account.health.sentence) : "Your backend, or its user, set this state.",
    ),
    el(
      "p",
      {},
      "Ask the user to replace the key in the widget, or store a new one with PUT /data-integrations/",
      said(account.provider_slug),
      "/api-key. If the provider takes the same key again, Check now finds that out.",
    ),
  );
}

/** @param {Account} account */
function facts(account) {
  return el(
    "dl",
    { class: "facts" },
    fact("State", badge(state(account.state))),
    fact("Provider", el("a", { href: to(["integrations", account.provider_slug]) }, said(account.provider_slug))),
    fact("User", el("a", { href: to(["accounts"], { user_id: account.user_id }) }, said(account.user_id))),
    fact(
      "Organization",
      account.organization_id === null
        ? "none"
        : el("a", { href: to(["organizations", account.organization_id]) }, said(account.organization_id)),
    ),
    fact("Key", lastFour(account.api_key_last_4)),
    fact("Last vended", when(account.last_used_at, "never, as far as is known")),
    fact("Connected", at(account.created_at)),
    fact("Changed", at(account.updated_at)),
    fact("Id", el("code", {}, said(account.id))),
  );
}

/**
 * @param {string} name
 * @param {import("../../dom.js").Child} value
 */
export function fact(name, value) {
  return el("div", {}, el("dt", {}, name), el("dd", {}, value));
}

/** @param {Account} account */
function health({ health }) {
  if (health === null) return el("p", {}, badge(verdict(undefined)), " Nothing is known of this key yet.");
  return [
    el("p", {}, badge(verdict(health.verdict)), " ", said(health.sentence)),
    el(
      "dl",
      { class: "facts" },
      fact("Looked at", when(health.checked_at)),
      fact("Worked last", when(health.last_good_at, "not yet")),
      health.first_bad_at === null ? "" : fact("Refused since", when(health.first_bad_at)),
      health.consecutive_unknowns === 0 ? "" : fact("Looks without an answer", health.consecutive_unknowns),
      fact("Next look", when(health.next_check_at, "none on schedule")),
    ),
  ];
}

/**
 * @param {import("../api.js").Read[]} reads
 * @param {Map<string, string>} keys
 */
function readers(reads, keys) {
  if (reads.length === 0) {
    return el("p", { class: "empty" }, "Nobody has read this key lately. What is vended shows here some seconds later.");
  }
  return table(
    "Who read the key",
    [
      { head: "API key", cell: (r) => [said(keys.get(r.api_key_id) || "unknown"), " ", el("code", { class: "fine" }, said(r.api_key_id))] },
      { head: "How often, within five minutes", number: true, cell: (r) => count(r.count, "time") },
      { head: "Last", cell: (r) => at(r.last_read_at) },
    ],
    reads,
  );
}

/** @param {Account} account */
function secrets(account) {
  if (account.secrets.length === 0) return el("p", { class: "empty" }, "No key is stored.");
  return table(
    "Stored keys",
    [
      { head: "Slot", cell: (s) => said(s.slot) },
      { head: "Key", cell: (s) => lastFour(s.last_4) },
      { head: "Stored", cell: (s) => at(s.created_at) },
      { head: "Expires", cell: (s) => (s.expires_at === null ? "nobody said" : at(s.expires_at)) },
      { head: "Id", cell: (s) => el("code", {}, said(s.secret_id)) },
    ],
    account.secrets,
  );
}

/**
 * settings shows what a key is used with. It decides where the key goes, and so is not
 * changed by who cannot read it.
 *
 * @param {Account} account
 * @param {Definition} definition
 */
function settings({ config }, { config_fields: fields }) {
  if (fields.length === 0) return el("p", { class: "empty" }, "Keys of this provider need no settings.");
  /** @param {string} name */
  const value = (name) => (Object.hasOwn(config, name) ? (config[name] ?? "") : "");
  return [
    el("p", {}, "The key is used with them, so they change together with it: in the widget, or with PUT …/api-key."),
    el("dl", { class: "facts" }, fields.map((f) => fact(f.label, value(f.field) === "" ? "none" : el("code", {}, said(value(f.field)))))),
  ];
}

/**
 * @param {Context} context
 * @param {Account} account
 */
function metadata(context, account) {
  const beside = pairs({
    legend: "Kept beside the key",
    one: "entry",
    help: "Whatever your product wants to find here, such as a plan. No secrets: it is stored in clear, and comes with the account.",
    values: account.metadata,
  });
  return form({
    keep: "metadata",
    late: context.fail,
    fields: () => beside.fields("metadata"),
    content: [beside.node],
    submit: "Save metadata",
    act: () => context.client.amend(account.id, { metadata: beside.value() }),
    done: () => context.again("The metadata is saved."),
  });
}

/**
 * turning changes an account's state by hand.
 *
 * @param {Context} context
 * @param {Account} account
 */
function turning(context, account) {
  const connected = account.state === "connected";
  return deed(context, {
    label: connected ? "Ask for a new key" : "Vend this key again",
    keep: "state",
    act: async () => {
      const done = await ask(context, {
        title: connected ? "Ask for a new key?" : "Vend this key again?",
        content: [el(
          "p",
          {},
          connected
            ? "The user is asked for a new key in the widget, and nothing is vended until there is one, or until you vend this one again."
            : "The stored key is vended from the next request on. If its provider still refuses it, the next looks find that out.",
        )],
        submit: connected ? "Ask for a new key" : "Vend this key again",
        act: async () => {
          await context.client.setState(account, connected ? "needs_reauthorization" : "connected");
        },
      });
      if (done) await context.again(connected ? "The user is asked for a new key." : "The stored key is vended again.");
    },
  });
}

/** How often, and for how long at most, the page looks whether a check is through. */
const every = 500;
const patience = 20_000;

/**
 * @param {Context} context
 * @param {Account} account
 */
async function checkNow(context, account) {
  const { accepted, reason } = await context.client.check(account.id);
  if (!accepted) {
    context.tell(reason === "no_check" ? "This provider cannot be asked whether a key works." : `No look is had: ${reason ?? "keyvend did not say why"}.`);
    return;
  }
  context.tell("The provider is being asked.");
  const before = account.health?.checked_at;
  for (const end = Date.now() + patience; Date.now() < end; ) {
    await new Promise((resolve) => setTimeout(resolve, every));
    if (context.signal.aborted) return;
    const now = await context.client.account(account.id);
    if (now.health && now.health.checked_at !== before) return context.again(`Looked at a moment ago: ${now.health.sentence}`);
  }
  context.tell("The provider has not been asked yet. The look is in the queue: come back in a moment.");
}

/**
 * @param {Context} context
 * @param {Account} account
 */
async function disconnect(context, account) {
  const done = await ask(context, {
    title: "Disconnect this account?",
    content: [el(
      "p",
      {},
      "The stored key of ",
      el("strong", {}, said(account.user_id)),
      " at ",
      el("strong", {}, said(account.provider_slug)),
      " is deleted, and nothing is vended for it any more. At the provider nothing happens: the key goes on working there.",
    )],
    submit: "Disconnect",
    grave: true,
    act: async () => {
      try {
        await context.client.disconnect(account);
      } catch (failure) {
        if (!(failure instanceof Refusal && failure.status === 404)) throw failure; // else it is gone already
      }
    },
  });
  if (done) context.go(to(["accounts"], { integration: account.provider_slug }), `${account.user_id} is disconnected from ${account.provider_slug}.`);
}
