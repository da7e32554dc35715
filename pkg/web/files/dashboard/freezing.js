// Stopping all vending of something at once, and letting it go on.

import { el, said } from "../dom.js";
import { deed } from "./controls.js";
import { ask } from "./dialogs.js";
import { lines } from "./forms.js";
import { at } from "./words.js";

/** @typedef {import("./frame.js").Context} Context */

/**
 * freezing shows whether something is frozen, with the button that changes it.
 *
 * @param {Context} context
 * @param {{what: import("./api.js").Freezable, name: string, frozen: import("./api.js").Freeze}} of
 * @returns {HTMLElement}
 */
export function freezing(context, of) {
  const { frozen, name } = of;
  if (!frozen.frozen) {
    return el(
      "div",
      {},
      el("p", {}, "Not frozen. A freeze stops vending from the next request on; everything else goes on, and nothing is lost."),
      el(
        "div",
        { class: "buttons" },
        deed(context, { label: `Freeze ${name}`, grave: true, keep: "freeze", act: () => freeze(context, of) }),
      ),
    );
  }
  return el(
    "div",
    { class: "notice bad" },
    el("p", {}, el("strong", {}, "Frozen"), " since ", at(frozen.since), ": ", said(frozen.reason)),
    el(
      "div",
      { class: "buttons" },
      deed(context, {
        label: `Unfreeze ${name}`,
        keep: "freeze",
        act: async () => {
          await context.client.endFreeze(of.what);
          if (of.what === null) await context.frozen();
          await context.again(`${name} is not frozen any more. Vending goes on.`);
        },
      }),
    ),
  );
}

/**
 * @param {Context} context
 * @param {{what: import("./api.js").Freezable, name: string}} of
 */
async function freeze(context, { what, name }) {
  const reason = lines({ name: "reason", label: "Reason", help: "Who asks for a key is told, and who looks here.", required: true, max: 500 });
  const done = await ask(context, {
    title: `Freeze ${name}?`,
    content: [el("p", {}, "From the next request on, every vend of it answers 403 frozen."), reason.node],
    fields: [reason],
    submit: "Freeze",
    grave: true,
    act: async () => {
      await context.client.setFreeze(what, reason.value().trim());
    },
  });
  if (!done) return;
  if (what === null) await context.frozen();
  await context.again(`${name} is frozen: nothing of it is vended.`);
}
