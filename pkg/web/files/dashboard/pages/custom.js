// A provider that the catalog does not have.

import { el } from "../../dom.js";
import { tries } from "../api.js";
import { check, settings } from "../editors.js";
import { form, lines, text } from "../forms.js";
import { to } from "../router.js";
import { description, enable, method } from "./connect.js";

/** @typedef {import("../frame.js").Context} Context */
/** @typedef {import("../frame.js").Page} Page */

/**
 * wordsOf are the fields about which key to bring, and where it comes from.
 *
 * @param {{key_hint: string | null, help_url: string | null}} now
 */
export function wordsOf(now) {
  return {
    hint: lines({
      name: "key_hint",
      label: "Which key to bring",
      help: "Users see it beside the form, such as: A secret key that begins with sk_.",
      value: now.key_hint ?? "",
      max: 300,
      rows: 2,
    }),
    help: text({ name: "help_url", label: "Where users get a key", help: "The https:// address of a page.", value: now.help_url ?? "", max: 1000, code: true }),
  };
}

/**
 * @param {Context} context
 * @returns {Promise<Page>}
 */
export async function customProvider(context) {
  const wanted = (context.place.query.get("name") ?? "").slice(0, 200).trim(); // what the catalog was searched for
  const name = text({
    name: "custom_provider.name",
    label: "Name",
    help: "As your users know the provider.",
    value: wanted,
    required: true,
    max: 200,
  });
  const slug = text({
    name: "provider",
    label: "Slug",
    help: "What it is called in paths, for good: a-z, 0-9, - and _, and no slug of the catalog.",
    value: slugOf(wanted),
    required: true,
    code: true,
    max: 64,
  });
  const { hint, help } = wordsOf({ key_hint: null, help_url: null });
  const told = description({ name: name.value, hint: hint.value });
  const beside = settings([]);
  const question = check(null);
  const enabled = enable();

  let slugIsTheirs = false;
  slug.control.addEventListener("input", () => (slugIsTheirs = true));
  name.control.addEventListener("input", () => {
    if (!slugIsTheirs) slug.control.value = slugOf(name.value());
    told.draw();
  });
  hint.control.addEventListener("input", told.draw);

  const adding = steps(context, {
    create: () => ({
      provider: slug.trimmed(),
      auth_methods: ["api_key"],
      custom_provider: { name: name.trimmed() },
      description: told.field.trimmed() || null,
      enabled: false,
    }),
    definition: () => ({
      key_hint: hint.trimmed() || null,
      help_url: help.trimmed() || null,
      config_fields: beside.value(),
      check: question.value(),
    }),
    enabled: enabled.checked,
  });
  return {
    title: "Define a provider",
    content: [
      form({
        late: context.fail,
        fields: () => [name, slug, hint, help, told.field, ...beside.fields("config_fields"), ...question.fields("check")],
        content: [name.node, slug.node, method(), hint.node, help.node, told.node, beside.node, question.node, enabled.node],
        submit: "Connect",
        explain: () => (adding.begun() ? "The provider is there already, switched off. Correct this and send it again, or remove it on its page." : ""),
        act: () => adding.go().finally(() => (slug.control.readOnly = adding.begun())),
        done: (made) => {
          context.go(
            to(["integrations", made]),
            `${name.trimmed()} is connected. ${enabled.checked() ? "Users can bring their keys now." : "Switch it on when users may bring their keys."}`,
          );
        },
      }),
      el("p", {}, el("a", { href: to(["connect"]) }, "Back to the catalog")),
    ],
  };
}

/**
 * slugOf makes a slug of a name.
 *
 * @param {string} name
 */
function slugOf(name) {
  return name.toLowerCase().normalize("NFKD").replace(/\p{M}/gu, "").replace(/[^a-z0-9]+/g, "-").replace(/^-+|-+$/g, "").slice(0, 64);
}

/** @typedef {{provider: string, description: string | null, custom_provider: {name: string}, [other: string]: unknown}} Registration */

/**
 * steps adds a provider in three requests: register it switched off, define it,
 * switch it on. So no user sees a provider whose definition was refused; what was
 * done is not done again when the rest is sent anew.
 *
 * @param {Context} context
 * @param {{create: () => Registration, definition: () => Record<string, unknown>, enabled: () => boolean}} of
 */
function steps({ client }, of) {
  let slug = "";
  let sent = "";
  const once = tries();
  return {
    begun: () => slug !== "",
    async go() {
      const wanted = of.create();
      const body = JSON.stringify(wanted);
      if (slug === "") {
        slug = (await client.connect(wanted, once(wanted))).slug;
      } else if (sent !== body) {
        await client.changeIntegration(slug, { description: wanted.description, custom_provider: wanted.custom_provider });
      }
      sent = body;
      await client.define(slug, of.definition());
      if (of.enabled()) await client.changeIntegration(slug, { enabled: true });
      return slug;
    },
  };
}
