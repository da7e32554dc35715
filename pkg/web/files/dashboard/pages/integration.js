// One integration: what it does, what it says, and how it ends.

import { el, said } from "../../dom.js";
import { Refusal } from "../api.js";
import { bars } from "../charts.js";
import { deed } from "../controls.js";
import { ask } from "../dialogs.js";
import { asked, check, kept, policy, settings } from "../editors.js";
import { form, text } from "../forms.js";
import { freezing } from "../freezing.js";
import { to } from "../router.js";
import { at, elsewhere } from "../words.js";
import { fact } from "./account.js";
import { description } from "./connect.js";
import { wordsOf } from "./custom.js";
import { count, healthBadges, vending } from "./integrations.js";

/** @typedef {import("../frame.js").Context} Context */
/** @typedef {import("../frame.js").Page} Page */
/** @typedef {import("../api.js").Integration} Integration */
/** @typedef {import("../api.js").Definition} Definition */

/**
 * @param {Context} context
 * @param {string} slug
 * @returns {Promise<Page>}
 */
export async function integration(context, slug) {
  try {
    return await existing(context, slug);
  } catch (failure) {
    if (!(failure instanceof Refusal) || failure.status !== 404) throw failure;
    return {
      title: "No such integration",
      content: [
        el("p", {}, "There is no integration ", said(slug), "."),
        el("p", {}, el("a", { href: to([]) }, "See the integrations"), " or ", el("a", { href: to(["connect"]) }, "connect a provider"), "."),
      ],
    };
  }
}

/**
 * @param {Context} context
 * @param {string} slug
 * @returns {Promise<Page>}
 */
async function existing(context, slug) {
  const { client } = context;
  const hours = spans.find((s) => String(s.hours) === context.place.query.get("hours"))?.hours ?? 24;
  const [found, definition, frozen, counted, vends, turns] = await Promise.all([
    client.integration(slug),
    client.definition(slug),
    client.freeze({ integration: slug }),
    count(context, slug),
    client.usage(slug, hours),
    turnsOf(context, slug, hours),
  ]);
  const { name } = definition;
  return {
    title: name,
    content: [
      el(
        "dl",
        { class: "facts" },
        fact("Vending", vending(context, found, name)),
        fact("Accounts", el("a", { href: to(["accounts"], { integration: slug }) }, counted.words)),
        fact("Health", el("span", { class: "badges" }, healthBadges(counted))),
        counted.needing === 0
          ? ""
          : fact(
            "Need a new key",
            el(
              "a",
              { href: to(["accounts"], { integration: slug, state: "needs_reauthorization" }) },
              `${counted.needing}${counted.more ? "+" : ""}`,
            ),
          ),
        fact("Authentication", "API key, for good"),
        fact("Slug", el("code", {}, said(slug))),
        fact("Connected", at(found.created_at)),
      ),
      counted.accounts === 0
        ? el(
          "p",
          { class: "empty" },
          "No account is connected yet. Users bring their keys in the widget, or your backend stores them with PUT /data-integrations/",
          said(slug),
          "/api-key.",
        )
        : null,
      el("section", {}, el("h2", {}, "Vends and health"), span(slug, hours), vendChart(vends), turnChart(turns, vends)),
      el("section", {}, el("h2", {}, "Freeze"), freezing(context, { what: { integration: slug }, name, frozen })),
      el("section", {}, el("h2", {}, "What users are told"), describe(context, found, definition)),
      el("section", {}, el("h2", {}, "Checks"), checks(context, definition)),
      el("section", {}, el("h2", {}, "Provider"), definition.custom ? ofTenant(context, definition) : ofCatalog(definition)),
      el("section", {}, el("h2", {}, "Remove"), removal(context, slug, name)),
    ],
  };
}

const spans = [
  { hours: 24, words: "24 hours" },
  { hours: 72, words: "3 days" },
  { hours: 168, words: "7 days" },
];

/**
 * @param {string} slug
 * @param {number} now
 */
function span(slug, now) {
  return el(
    "nav",
    { class: "pager", "aria-label": "Time to show" },
    spans.map((s) => el(
      "a",
      {
        href: to(["integrations", slug], { hours: String(s.hours) }),
        "data-keep": `hours-${s.hours}`,
        "aria-current": s.hours === now ? "true" : null,
      },
      s.words,
    )),
  );
}

/** @param {import("../api.js").Hour[]} vends */
function vendChart(vends) {
  const columns = inOrder(vends).map((h) => ({ start: h.hour, values: [h.vended, h.refused] }));
  return bars(
    "Vends by the hour",
    [
      { name: "vended", mood: "good" },
      { name: "refused", mood: "bad" },
    ],
    columns,
    "No key was asked for in this time. What is vended shows here some seconds later.",
  );
}

/** @param {import("../api.js").Hour[]} vends */
function inOrder(vends) {
  return [...vends].sort((a, b) => Date.parse(a.hour) - Date.parse(b.hour));
}

const turned = { "pipes.connected_account.reauthorization_needed": 0, "pipes.connected_account.recovered": 1 };

/** How many pages of events are read for a picture at most. */
const pagesRead = 5;

/**
 * turnsOf finds when keys of an integration stopped working, and when one worked
 * again.
 *
 * @param {Context} context
 * @param {string} slug
 * @param {number} hours
 */
async function turnsOf({ client, signal }, slug, hours) {
  const found = [];
  const start = new Date(Date.now() - hours * 3_600_000).toISOString();
  let after = null;
  for (let read = 0; read < pagesRead; read += 1) {
    const page = await client.events({ events: Object.keys(turned).join(","), range_start: start, limit: 100, order: "desc", after }, signal);
    found.push(...page.data.filter((e) => e.data.provider_slug === slug));
    after = page.list_metadata.after;
    if (after === null) break;
  }
  return { found, whole: after === null };
}

/**
 * @param {Awaited<ReturnType<typeof turnsOf>>} turns
 * @param {import("../api.js").Hour[]} vends for its hours
 */
function turnChart({ found, whole }, vends) {
  const columns = inOrder(vends).map((h) => ({ start: h.hour, values: [0, 0] }));
  for (const event of found) {
    const time = Date.parse(event.created_at);
    const column = columns.findLast((c) => Date.parse(c.start) <= time);
    const kind = turned[/** @type {keyof typeof turned} */ (event.event)];
    if (column) column.values[kind] = (column.values[kind] ?? 0) + 1;
  }
  return el(
    "div",
    {},
    bars(
      "Health by the hour",
      [
        { name: "stopped working", mood: "bad" },
        { name: "worked again", mood: "good" },
      ],
      columns,
      "No key stopped working in this time, and none worked again.",
    ),
    whole ? null : el("p", { class: "fine" }, "There was more than is shown here: only the newest events were read."),
  );
}

/**
 * @param {Context} context
 * @param {Integration} found
 * @param {Definition} definition
 */
function describe(context, found, definition) {
  const told = description({ name: () => definition.name, value: found.description ?? "", hint: () => definition.key_hint ?? "" });
  const entered = kept(found.description, { value: () => told.field.trimmed() || null });
  return form({
    keep: "description",
    late: context.fail,
    fields: () => [told.field],
    content: [told.node],
    submit: "Save description",
    act: async () => {
      await context.client.changeIntegration(found.slug, { description: entered.value() });
    },
    done: () => context.tell("The description is saved."),
  });
}

/**
 * @param {Context} context
 * @param {Definition} definition
 */
function checks(context, definition) {
  if (definition.check === null) {
    return el(
      "p",
      {},
      definition.custom
        ? "Keys are not checked: define a check below first."
        : "No free way is known to ask this provider whether a key works, so keys are not checked.",
    );
  }
  const rules = policy(definition);
  return form({
    keep: "checks",
    late: context.fail,
    fields: () => rules.fields(""),
    content: [rules.node],
    submit: "Save checks",
    act: async () => {
      await context.client.define(definition.slug, rules.value());
    },
    done: () => context.tell("Saved: how keys are checked."),
  });
}

/** @param {Definition} definition */
function ofCatalog(definition) {
  return el(
    "div",
    {},
    el("p", {}, "What is said of this provider comes from the catalog."),
    definition.key_hint === null ? null : el("p", {}, said(definition.key_hint)),
    definition.help === null ? null : el("p", {}, said(definition.help)),
    definition.help_url === null ? null : el("p", {}, "Users get a key at ", elsewhere(definition.help_url), "."),
    definition.check === null ? null : asked(definition.check),
    definition.config_fields.length === 0
      ? null
      : el(
        "ul",
        {},
        definition.config_fields.map((f) => el("li", {}, el("code", {}, said(f.field)), ": ", said(f.label), ". ", said(f.description))),
      ),
  );
}

/**
 * ofTenant tells what a tenant says of a provider of its own, and lets it be
 * changed.
 *
 * @param {Context} context
 * @param {Definition} definition
 */
function ofTenant(context, definition) {
  return el(
    "div",
    {},
    el("p", {}, "Your own definition says what users are asked for and how keys are checked."),
    definition.key_hint === null ? null : el("p", {}, said(definition.key_hint)),
    definition.help_url === null ? null : el("p", {}, "Users get a key at ", elsewhere(definition.help_url), "."),
    definition.check === null ? null : asked(definition.check),
    el("details", { "data-keep": "definition" }, el("summary", {}, "Change the definition"), define(context, definition)),
  );
}

/**
 * define edits what a tenant says of a provider of its own.
 *
 * @param {Context} context
 * @param {Definition} definition
 */
function define(context, definition) {
  const name = text({ name: "name", label: "Name", value: definition.name, required: true, max: 200 });
  const { hint, help } = wordsOf(definition);
  const beside = settings(definition.config_fields);
  const question = check(definition.check);
  return form({
    keep: "definition",
    late: context.fail,
    fields: () => [name, hint, help, ...beside.fields("config_fields"), ...question.fields("check")],
    content: [name.node, hint.node, help.node, beside.node, question.node],
    submit: "Save provider",
    act: async () => {
      await context.client.define(definition.slug, {
        name: name.trimmed(),
        key_hint: hint.trimmed() || null,
        help_url: help.trimmed() || null,
        config_fields: beside.value(),
        check: question.value(),
      });
    },
    done: () => context.again("The provider is saved."),
  });
}

/**
 * @param {Context} context
 * @param {string} slug
 * @param {string} name
 */
function removal(context, slug, name) {
  return el(
    "div",
    {},
    el("p", {}, "Removing a provider takes every connected account with it. It cannot be taken back; to change the authentication method it is the way."),
    el("div", { class: "buttons" }, deed(context, { label: `Remove ${name}`, grave: true, act: () => remove(context, slug, name) })),
  );
}

/**
 * @param {Context} context
 * @param {string} slug
 * @param {string} name
 */
async function remove(context, slug, name) {
  const { words } = await count(context, slug);
  let gone = false; // already
  const typed = text({ name: "slug", label: `Write its slug, ${slug}, to remove it`, required: true, code: true });
  const done = await ask(context, {
    title: `Remove ${name}?`,
    content: [
      el(
        "p",
        {},
        el("strong", {}, words),
        words.startsWith("1 ") ? " goes" : " go",
        " with it, and the stored keys are deleted. From the next request on nothing of it is vended.",
      ),
      typed.node,
    ],
    fields: [{ ...typed, missing: () => (typed.value().trim() === slug ? "" : `This is not its slug. Write ${slug}.`) }],
    submit: "Remove",
    grave: true,
    act: async () => {
      try {
        await context.client.removeIntegration(slug);
      } catch (failure) {
        if (!(failure instanceof Refusal && failure.status === 404)) throw failure;
        gone = true;
      }
    },
  });
  if (done) context.go(to([]), gone ? `${name} was removed already.` : `${name} is removed, with ${words}.`);
}
