// Dialogs, in the browser's own element: it keeps the keyboard inside, closes on
// Escape and gives the focus back.

import { el, plain } from "../dom.js";
import { refocus } from "./drafts.js";
import { form, fresh } from "./forms.js";

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
 * ask shows a dialog until what it asks about is done, or left. Who leaves it while
 * it is being done has left nothing undone.
 *
 * @param {import("./frame.js").Context | null} context of the page that it belongs to and ends with
 * @param {DialogOf} of
 * @returns {Promise<boolean>} whether it was done
 */
export function ask(context, of) {
  return new Promise((resolve) => {
    const id = fresh("dialog");
    const opener = /** @type {HTMLElement | null} */ (document.activeElement);
    /** @type {Promise<boolean>} */
    let done = Promise.resolve(false);
    const close = () => dialog.close();
    const leave = of.cancel === null ? null : el("button", { type: "button", click: close }, of.cancel ?? "Cancel");
    const inside = form({
      fields: () => of.fields ?? [],
      content: of.content,
      submit: of.submit,
      grave: of.grave ?? false,
      beside: [leave],
      ...(of.explain && { explain: of.explain }),
      ...(context && { late: context.fail }),
      act: () => {
        const doing = of.act();
        done = doing.then(() => true, () => false);
        return doing;
      },
      done: close,
    });
    /** @type {HTMLDialogElement} */
    const dialog = el("dialog", { "aria-labelledby": id, closedby: of.cancel === null ? "none" : null }, el("h2", { id }, plain(of.title)), inside);
    if (of.cancel === null) dialog.addEventListener("cancel", (event) => event.preventDefault());
    context?.signal.addEventListener("abort", close);
    dialog.addEventListener("close", () => {
      context?.signal.removeEventListener("abort", close);
      dialog.remove();
      // What opened it may have been drawn anew meanwhile.
      const main = document.getElementById("main");
      if (opener && main && document.activeElement === document.body) refocus(main, opener);
      resolve(done);
    });
    document.body.append(dialog);
    dialog.showModal();
    // Whoever presses Enter without reading has undone nothing.
    if (of.fields?.[0]) of.fields[0].focus();
    else if (of.grave) leave?.focus();
  });
}
