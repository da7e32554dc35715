// Connecting a provider: the catalog, then what is left to say of one.

import { el, fill, said } from "../../dom.js";
import { Refusal, tries } from "../api.js";
import { form, lines, text, tick } from "../forms.js";
import { preview } from "../preview.js";
import { to } from "../router.js";
import { count, elsewhere } from "../words.js";

/** @typedef {import("../frame.js").Context} Context */
/** @typedef {import("../frame.js").Page} Page */

/**
 * @param {Context} context
 * @returns {Promise<Page>}
 */
export async function connect(context) {
  const [catalog, connected] = await Promise.all([context.client.catalog(), context.client.allIntegrations()]);
  const slugs = new Set(connected.map((i) => i.slug));
  const search = text({ name: "", label: "Search", type: "search", help: "By name, slug or kind, such as email or payments." });
  const found = el("p", { role: "status", class: "fine" });
  const list = el("ul", { class: "providers" });
  const none = el("div", {});
  const show = () => {
    const wanted = search.value().trim().toLowerCase();
    const matching = catalog.filter((p) => [p.name, p.slug, p.category].some((text) => text.toLowerCase().includes(wanted)));
    fill(found, `${count(matching.length, "provider")} of ${catalog.length}`);
    fill(list, matching.map((p) => el("li", {}, choiceOf(p, slugs.has(p.slug)))));
    fill(none, matching.length > 0 ? null : missing(search.value().trim()));
  };
  search.control.addEventListener("input", show);
  show();
  return {
    title: "Connect a provider",
    content: [
      el(
        "p",
        {},
        "Choose whose API keys your users are to bring. Not in the list? ",
        el("a", { href: to(["custom-provider"]) }, "Define a provider of your own"),
        ".",
      ),
      el("search", {}, search.node),
      found,
      list,
      none,
    ],
  };
}

/**
 * missing leads on from a search that found nothing.
 *
 * @param {string} name what was looked for
 */
function missing(name) {
  return el(
    "p",
    { class: "empty" },
    "The catalog has no such provider. ",
    el("a", { href: to(["custom-provider"], { name }) }, "Define ", said(name), " as a provider of your own"),
    ".",
  );
}

/**
 * @param {import("../api.js").CatalogProvider} provider
 * @param {boolean} connected
 */
function choiceOf(provider, connected) {
  const href = connected ? to(["integrations", provider.slug]) : to(["connect", provider.slug]);
  return [el("a", { href }, said(provider.name)), " ", el("span", { class: "fine" }, provider.category, connected ? " · connected already" : "")];
}

/**
 * @param {Context} context
 * @param {string} slug
 * @returns {Promise<Page>}
 */
export async function connectProvider(context, slug) {
  const [provider, connected] = await Promise.all([context.client.catalogProvider(slug), context.client.allIntegrations()]);
  const place = to(["integrations", slug]);
  const title = `Connect ${provider.name}`;
  if (connected.some((i) => i.slug === slug)) {
    return { title, content: [el("p", {}, said(provider.name), " is connected already. ", el("a", { href: place }, "Go to its page"), ".")] };
  }
  const told = description({ name: () => provider.name, hint: () => provider.key_hint });
  const enabled = enable();
  const once = tries();
  return {
    title,
    content: [
      el("p", {}, "Users get a key at ", elsewhere(provider.key_page), "."),
      provider.help ? el("p", {}, said(provider.help)) : null,
      el(
        "p",
        {},
        provider.check
          ? "keyvend can ask this provider whether a key still works."
          : "No free way is known to ask this provider whether a key works.",
      ),
      form({
        late: context.fail,
        fields: () => [told.field],
        content: [method(), told.node, enabled.node],
        submit: "Connect",
        act: async () => {
          const body = { provider: slug, auth_methods: ["api_key"], description: told.field.trimmed() || null, enabled: enabled.checked() };
          await context.client.connect(body, once(body)).catch((failure) => {
            if (!(failure instanceof Refusal) || failure.code !== "data_integration_exists") throw failure;
            throw new Refusal(failure.status, `${provider.name} is connected already. See its page, among the integrations.`, failure);
          });
        },
        done: () => {
          const next = enabled.checked() ? "Users can bring their keys now." : "Switch it on when users may bring their keys.";
          context.go(place, `${provider.name} is connected. ${next}`);
        },
      }),
    ],
  };
}

/**
 * method is the choice of the one authentication method.
 *
 * @returns {HTMLElement}
 */
export function method() {
  return el(
    "fieldset",
    {},
    el("legend", {}, "Authentication method"),
    el(
      "p",
      { class: "help", id: "final" },
      "One for each provider, and final: it cannot be changed later. To switch, remove the provider, which takes its accounts with it, and add it again.",
    ),
    el(
      "div",
      { class: "tick" },
      el("input", { type: "radio", name: "method", id: "method-key", checked: true, "aria-describedby": "final" }),
      el("label", { for: "method-key" }, "API key"),
    ),
    el(
      "div",
      { class: "tick" },
      el("input", { type: "radio", name: "method", id: "method-oauth", disabled: true, "aria-describedby": "no-oauth" }),
      el("div", {}, el("label", { for: "method-oauth" }, "OAuth"), el("p", { class: "help", id: "no-oauth" }, "This release of keyvend keeps API keys only.")),
    ),
  );
}

/**
 * description is the field of a description with a picture of how users see it.
 *
 * @param {{name: () => string, hint?: () => string, value?: string}} of
 */
export function description(of) {
  const field = lines({
    name: "description",
    label: "Description",
    help: "Tells users what their data is used for. It is shown as it is written: links and markup do nothing.",
    max: 2000,
    value: of.value ?? "",
  });
  const picture = preview({ name: of.name, description: field.value, ...(of.hint && { hint: of.hint }) });
  field.control.addEventListener("input", picture.draw);
  return { field, draw: picture.draw, node: el("div", { class: "beside" }, field.node, picture.node) };
}

export function enable() {
  return tick({ name: "enabled", label: "Switch it on at once", help: "While it is off, users do not see it and nothing is vended.", checked: true });
}
