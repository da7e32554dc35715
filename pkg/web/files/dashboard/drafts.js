// What somebody has begun to enter stays when the page around it is drawn anew.

import { fill } from "../dom.js";

/**
 * drawAnew replaces what main holds and takes over what people have done to it:
 * forms of which something was not sent yet, details that were opened, the focus.
 * Forms and details are told by their data-keep.
 *
 * @param {HTMLElement} main
 * @param {...(import("../dom.js").Child | import("../dom.js").Child[])} children
 */
export function drawAnew(main, ...children) {
  const focused = /** @type {HTMLElement | null} */ (document.activeElement);
  const inside = main.contains(focused);
  const cursor = cursorOf(focused);
  const begun = [.../** @type {NodeListOf<HTMLFormElement>} */ (main.querySelectorAll("form[data-begun][data-keep]"))];
  const opened = [.../** @type {NodeListOf<HTMLDetailsElement>} */ (main.querySelectorAll("details[open][data-keep]"))];
  fill(main, ...children);
  for (const form of begun) find(main, "form", form.dataset.keep)?.replaceWith(form);
  for (const { dataset } of opened) find(main, "details", dataset.keep)?.setAttribute("open", "");
  if (!inside || !focused) return;
  refocus(main, focused);
  if (cursor && document.activeElement === focused) cursor();
}

/**
 * refocus gives the focus back to an element, or to the one that took its place, or
 * to the page's heading.
 *
 * @param {HTMLElement} main
 * @param {HTMLElement} element
 */
export function refocus(main, element) {
  const again = element.isConnected ? element : find(main, "", element.dataset.keep) ?? main.querySelector("h1");
  again?.focus({ preventScroll: element.isConnected });
}

/**
 * @param {HTMLElement} main
 * @param {string} tag
 * @param {string | undefined} keep
 * @returns {HTMLElement | null}
 */
function find(main, tag, keep) {
  return keep === undefined ? null : main.querySelector(`${tag}[data-keep="${CSS.escape(keep)}"]`);
}

/**
 * cursorOf is what puts the cursor back to where it stands in a field.
 *
 * @param {Element | null} field
 */
function cursorOf(field) {
  if (!(field instanceof HTMLInputElement || field instanceof HTMLTextAreaElement)) return null;
  const { selectionStart: from, selectionEnd: to } = field;
  return from === null || to === null ? null : () => field.setSelectionRange(from, to);
}
