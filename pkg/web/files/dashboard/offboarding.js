// Taking away all that a user or an organization has.

import { el } from "../dom.js";
import { deed } from "./controls.js";
import { ask } from "./dialogs.js";
import { text } from "./forms.js";
import { to } from "./router.js";

/** @typedef {import("./frame.js").Context} Context */

const words = {
  user: "Everything of this user goes: all accounts, in every organization and in none, with the stored keys. For who closes an account in your product.",
  organization: "Everything of this organization goes: all accounts of its people in it with the stored keys, its switches and its freeze.",
};

/**
 * offboarding is the way to take all away.
 *
 * @param {Context} context
 * @param {{who: "user" | "organization", id: string}} of
 */
export function offboarding(context, { who, id }) {
  return el(
    "div",
    {},
    el("p", {}, words[who], " It cannot be taken back."),
    el("div", { class: "buttons" }, deed(context, { label: `Offboard ${who} ${id}`, grave: true, act: () => offboard(context, who, id) })),
  );
}

/**
 * @param {Context} context
 * @param {"user" | "organization"} who
 * @param {string} id
 */
async function offboard(context, who, id) {
  const typed = text({ name: "id", label: `Write the ${who}'s id, ${id}, to take all away`, required: true, code: true });
  const done = await ask(context, {
    title: `Offboard ${who} ${id}?`,
    content: [el("p", {}, words[who], " From the next request on none of it is vended."), typed.node],
    fields: [{ ...typed, missing: () => (typed.value().trim() === id ? "" : `This is not the id. Write ${id}.`) }],
    submit: "Offboard",
    grave: true,
    act: async () => {
      await (who === "user" ? context.client.offboardUser(id) : context.client.offboardOrganization(id));
    },
  });
  if (done) context.go(to(["accounts"]), `All of ${who} ${id} is taken away. What is listed still goes within minutes, and is not vended.`);
}
