// Buttons that do something at once.

import { el, fill, plain, said } from "../dom.js";

/** @typedef {import("./frame.js").Context} Context */

/**
 * toggle is a switch. It shows what is, not what was clicked: it turns when the
 * service has said so.
 *
 * @param {Context} context
 * @param {{label: string, on: boolean, words?: {on: string, off: string}, set: (on: boolean) => Promise<boolean>}} of set gives what is then
 * @returns {HTMLButtonElement}
 */
export function toggle(context, of) {
  const words = of.words ?? { on: "On", off: "Off" };
  let on = of.on;
  let busy = false;
  const show = () => {
    made.setAttribute("aria-checked", String(on));
    fill(made, el("span", { class: "knob", "aria-hidden": "true" }), on ? words.on : words.off);
  };
  const made = el("button", {
    type: "button",
    role: "switch",
    "data-keep": of.label,
    class: "switch",
    "aria-label": plain(of.label),
    click: async () => {
      if (busy) return;
      busy = true;
      try {
        on = await of.set(!on);
      } catch (failure) {
        context.fail(failure);
      } finally {
        busy = false;
        show();
      }
    },
  });
  show();
  return made;
}

/**
 * deed is a button that does something; keep names it across a page that is shown
 * anew, so that the focus stays; told is what a screen reader says in place of label.
 *
 * @param {Context} context
 * @param {{label: string, told?: string, act: () => Promise<void>, grave?: boolean, keep?: string}} of
 * @returns {HTMLButtonElement}
 */
export function deed(context, of) {
  let busy = false;
  return el(
    "button",
    {
      type: "button",
      class: of.grave ? "grave" : null,
      "data-keep": of.keep ?? of.label,
      "aria-label": of.told && plain(of.told),
      click: async (/** @type {MouseEvent} */ event) => {
        const button = /** @type {HTMLButtonElement} */ (event.currentTarget);
        if (busy) return;
        busy = true;
        button.setAttribute("aria-disabled", "true");
        try {
          await of.act();
        } catch (failure) {
          context.fail(failure);
        } finally {
          busy = false;
          button.removeAttribute("aria-disabled");
        }
      },
    },
    plain(of.label),
  );
}

/**
 * copied shows a text with a button that copies it.
 *
 * @param {string} what what it is called
 * @param {string} text
 * @returns {HTMLElement}
 */
export function copied(what, text) {
  const told = el("span", { role: "status", class: "fine" });
  const shown = el("code", { tabindex: "0", role: "group", "aria-label": what }, said(text));
  const copy = el(
    "button",
    {
      type: "button",
      click: async () => {
        try {
          await navigator.clipboard.writeText(text);
          fill(told, "Copied.");
        } catch {
          getSelection()?.selectAllChildren(shown);
          fill(told, "It is selected: copy it with the keyboard.");
        }
      },
    },
    "Copy",
    el("span", { class: "unseen" }, ` ${what}`),
  );
  return el("div", { class: "copied" }, shown, copy, told);
}
