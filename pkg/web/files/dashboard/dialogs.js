// Dialogs, in the browser's own element: it keeps the keyboard inside, closes on
// Escape and gives the focus back.

import { el, fresh } from "./dom.js";
import { form } from "./forms.js";

/**
 * @typedef {object} DialogOf
 * @property {string} title
 * @property {(Node | string | null)[]} content
 * @property {import("./forms.js").Field[]} [fields]
 * @property {string} submit
 * @property {boolean} [grave]
 * @property {string | null} [cancel] what the way out says; null: there is none but doing it
 * @property {() => Promise<void>} act
 * @property {import("./forms.js").FormOf["explain"]} [explain]
 */

/**
 * ask shows a dialog until what it asks about is done, or left.
 *
 * @param {DialogOf} of
 * @returns {Promise<boolean>} whether it was done
 */
export function ask(of) {
  return new Promise((resolve) => {
    const id = fresh("dialog");
    let done = false;
    const leave = of.cancel === null ? null : el("button", { type: "button", click: () => dialog.close() }, of.cancel ?? "Cancel");
    const inside = form({
      fields: () => of.fields ?? [],
      content: of.content,
      submit: of.submit,
      grave: of.grave ?? false,
      beside: [leave],
      ...(of.explain && { explain: of.explain }),
      act: async () => {
        await of.act();
        done = true;
        dialog.close();
      },
    });
    const dialog = el("dialog", { "aria-labelledby": id }, el("h2", { id }, of.title), inside);
    if (of.cancel === null) dialog.addEventListener("cancel", (event) => event.preventDefault());
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(done);
    });
    document.body.append(dialog);
    dialog.showModal();
    // Whoever presses Enter without reading has undone nothing.
    if (of.fields?.[0]) of.fields[0].focus();
    else if (of.grave) leave?.focus();
  });
}
