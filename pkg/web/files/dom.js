// Elements, made by hand, for the widget and the dashboard. Whatever comes from the
// server or a page becomes a text node or an attribute that cannot run: nothing
// here, or anywhere else, parses markup.

/** @typedef {Node | string | number | null | undefined | false} Child */

/** @typedef {Record<string, string | number | boolean | null | undefined | ((event: any) => void)>} Attributes */

/**
 * el makes an element. Attributes that are false, null or undefined are left
 * out; functions listen to the event of their name.
 *
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} name
 * @param {Attributes} [attributes]
 * @param {...(Child | Child[])} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function el(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  furnish(made, attributes, children);
  return made;
}

/**
 * furnish gives an element what el takes.
 *
 * @param {Element} made
 * @param {Attributes} attributes
 * @param {(Child | Child[])[]} children
 */
export function furnish(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") {
      made.addEventListener(name, value);
    } else if (value !== false && value !== null && value !== undefined) {
      allow(name, value);
      made.setAttribute(name, value === true ? "" : String(value));
    }
  }
  made.append(...nodes(children));
}

/**
 * allow refuses attributes that could run or load something.
 *
 * @param {string} name
 * @param {string | number | boolean} value
 */
function allow(name, value) {
  const runs = name.startsWith("on") || name === "style" || name === "src" || name === "srcdoc" || name === "action" || name === "formaction";
  if (runs || (name === "href" && !String(value).startsWith("#"))) {
    throw new TypeError(`an attribute that is not allowed: ${name}`);
  }
}

/**
 * @param {(Child | Child[])[]} children
 * @returns {(Node | string)[]}
 */
function nodes(children) {
  /** @type {(Node | string)[]} */
  const found = [];
  for (const child of children.flat()) {
    if (child instanceof Node) found.push(child);
    else if (child !== null && child !== undefined && child !== false) found.push(String(child));
  }
  return found;
}

/**
 * fill replaces what an element holds.
 *
 * @param {Element} element
 * @param {...(Child | Child[])} children
 */
export function fill(element, ...children) {
  element.replaceChildren(...nodes(children));
}

/**
 * said shows a text of somebody else's making: as text, in its own direction.
 *
 * @param {string} text
 * @returns {HTMLElement}
 */
export function said(text) {
  return el("bdi", {}, plain(text));
}

/** Invisible characters that turn the direction of what follows. */
export const turns = /[\u202a-\u202e\u2066-\u2069]/g;

/**
 * plain shows them as what they are.
 *
 * @param {string} text
 * @returns {string}
 */
export function plain(text) {
  return text.replace(turns, (c) => `\\u${c.charCodeAt(0).toString(16)}`);
}

/**
 * outside links to a page elsewhere; null unless its address is one by https, and
 * without a name and a password in it.
 *
 * @param {string | null | undefined} address
 * @param {Child} words what the link says
 * @param {string} aside what a screen reader is told besides
 * @returns {HTMLElement | null}
 */
export function outside(address, words, aside) {
  const url = parsed(address);
  if (url?.protocol !== "https:" || url.username !== "" || url.password !== "") return null;
  const link = el("a", { target: "_blank", rel: "noopener noreferrer" }, words, el("span", { class: "unseen" }, ` ${aside}`));
  link.href = url.href;
  return link;
}

/**
 * picture is an image, null unless its address is one by https or of the page's own
 * origin. One that cannot be loaded makes place for what stands in for it.
 *
 * @param {string | null | undefined} address
 * @param {Node} standIn
 */
export function picture(address, standIn) {
  const url = parsed(address, document.baseURI);
  if (!url || (url.protocol !== "https:" && url.origin !== location.origin)) return null;
  const image = el("img", { alt: "", loading: "lazy", referrerpolicy: "no-referrer", error: () => image.replaceWith(standIn) });
  image.src = url.href;
  return image;
}

/**
 * @param {string | null | undefined} address
 * @param {string} [base] what it may be relative to
 */
function parsed(address, base) {
  try {
    return address ? new URL(address, base) : null;
  } catch {
    return null;
  }
}
