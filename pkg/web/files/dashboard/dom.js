// Elements, made by hand. Whatever comes from the server becomes a text node or
// an attribute that cannot run: nothing here, or anywhere else, parses markup.

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
 * svg is el for pictures.
 *
 * @template {keyof SVGElementTagNameMap} K
 * @param {K} name
 * @param {Attributes} [attributes]
 * @param {...(Child | Child[])} children
 * @returns {SVGElementTagNameMap[K]}
 */
export function svg(name, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  furnish(made, attributes, children);
  return made;
}

/**
 * @param {Element} made
 * @param {Attributes} attributes
 * @param {(Child | Child[])[]} children
 */
function furnish(made, attributes, children) {
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
 * allow refuses attributes that could run something: pages link to pages of the
 * dashboard, and out of it through outside alone.
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
  return el("bdi", {}, text);
}

/**
 * outside links to a page elsewhere, if text is the address of one; else it shows
 * the text, so that what somebody stored in an address's place does nothing.
 *
 * @param {string} text
 * @param {string} [words] what the link is called, instead of its address
 * @returns {HTMLElement}
 */
export function outside(text, words) {
  const address = parsed(text);
  if (!address || address.protocol !== "https:" || address.username !== "" || address.password !== "") {
    return said(text);
  }
  const link = el("a", { target: "_blank", rel: "noopener noreferrer" }, said(words ?? text), el("span", { class: "hidden" }, " (opens another page)"));
  link.href = address.href;
  return link;
}

/**
 * @param {string} text
 * @returns {URL | null}
 */
function parsed(text) {
  try {
    return new URL(text);
  } catch {
    return null;
  }
}

let made = 0;

/**
 * fresh is an id that no other element has.
 *
 * @param {string} what
 * @returns {string}
 */
export function fresh(what) {
  made += 1;
  return `${what}-${made}`;
}
