// What lies over the list: forms and questions.

import { el, said } from "../dom.js";

/**
 * open shows a dialog. Escape closes it, and so does close(). The browser keeps the
 * focus inside meanwhile. autofocus is not used: frames may not have it.
 *
 * @param {ParentNode & Node} root where
 * @param {string} title
 * @param {"dialog" | "alertdialog"} role
 * @param {() => void} closed called once it is gone
 * @param {HTMLElement} first what has the focus in the beginning
 * @param {...Node} content
 */
export function open(root, title, role, closed, first, ...content) {
  const dialog = el("dialog", { role, "aria-labelledby": "dialog-title", part: "dialog" }, el("h2", { id: "dialog-title" }, said(title)), ...content);
  dialog.addEventListener("close", () => {
    dialog.remove();
    closed();
  });
  root.append(dialog);
  dialog.showModal();
  first.focus();
  return dialog;
}

/**
 * busy makes a button do nothing while something is under way, without taking the
 * focus from it.
 *
 * @param {HTMLButtonElement} button
 * @param {string} text what it says meanwhile
 * @returns {(text: string) => void} ends it
 */
export function busy(button, text) {
  button.setAttribute("aria-disabled", "true");
  button.textContent = text;
  return (after) => {
    button.removeAttribute("aria-disabled");
    button.textContent = after;
  };
}

/** @param {HTMLButtonElement} button */
export function isBusy(button) {
  return button.getAttribute("aria-disabled") === "true";
}
