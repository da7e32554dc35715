// What each organization's people may connect.

import { el, said } from "../../dom.js";
import { toggle } from "../controls.js";
import { form, text } from "../forms.js";
import { freezing } from "../freezing.js";
import { offboarding } from "../offboarding.js";
import { to } from "../router.js";
import { table } from "../tables.js";

/** @typedef {import("../frame.js").Context} Context */
/** @typedef {import("../frame.js").Page} Page */

/**
 * unfit says what an organization's id may be, when it is another text.
 *
 * @param {string} id
 * @returns {string} "" when it may be one
 */
function unfit(id) {
  if (/^[!-~]{1,128}$/.test(id) && !/[/\\?#%]/.test(id) && id !== "." && id !== "..") return "";
  return 'This is no organization\'s id. One has 1 to 128 printable ASCII characters without space and without / \\ ? # %, and is not "." or "..".';
}

/**
 * @param {Context} context
 * @returns {Promise<Page>}
 */
export async function organizations(context) {
  const id = text({
    name: "organization_id",
    label: "Organization id",
    help: "As your product calls it: keyvend knows no list of organizations.",
    required: true,
    code: true,
  });
  return {
    title: "Organizations",
    content: [
      el("p", {}, "An organization's admins decide which providers its people may connect. Here you see and set their switches."),
      form({
        fields: () => [{ ...id, missing: () => id.missing() || unfit(id.value().trim()) }],
        content: [id.node],
        submit: "Show its switches",
        act: async () => context.go(to(["organizations", id.value().trim()])),
      }),
    ],
  };
}

/**
 * @param {Context} context
 * @param {string} id
 * @returns {Promise<Page>}
 */
export async function organization(context, id) {
  const { client } = context;
  const wrong = unfit(id);
  if (wrong !== "") {
    return { title: "No such organization", content: [el("p", {}, wrong, " ", el("a", { href: to(["organizations"]) }, "Choose another"), ".")] };
  }
  const [rows, all, frozen] = await Promise.all([client.configurations(id), client.allIntegrations(), client.freeze({ organization: id })]);
  const off = new Set(all.filter((i) => !i.enabled).map((i) => i.slug));
  return {
    title: `Organization ${id}`,
    content: [
      el("p", {}, el("a", { href: to(["accounts"], { organization_id: id }) }, "Accounts of this organization")),
      rows.length === 0
        ? el("p", { class: "empty" }, "There is nothing to switch: no provider is connected yet. ", el("a", { href: to(["connect"]) }, "Connect one"), ".")
        : table(
            "Switches of the organization",
            [
              { head: "Provider", cell: (row) => [el("a", { href: to(["integrations", row.slug]) }, said(row.name)), " ", el("code", {}, said(row.slug))] },
              { head: "For its people", cell: (row) => (off.has(row.slug) ? "Off for everyone" : allowed(context, row)) },
            ],
            rows,
          ),
      el("section", {}, el("h2", {}, "Freeze"), freezing(context, { what: { organization: id }, name: `organization ${id}`, frozen })),
      el("section", {}, el("h2", {}, "Offboard"), offboarding(context, { who: "organization", id })),
    ],
  };
}

/**
 * @param {Context} context
 * @param {import("../api.js").Configuration} row
 */
function allowed(context, row) {
  return toggle(context, {
    label: `${row.name} for ${row.organization_id}`,
    on: row.enabled,
    words: { on: "Allowed", off: "Not allowed" },
    set: async (enabled) => {
      const now = (await context.client.configure(row.organization_id, row.slug, enabled)).enabled;
      context.tell(`${row.name} is ${now ? "allowed" : "not allowed any more"} for ${row.organization_id}.`);
      return now;
    },
  });
}
