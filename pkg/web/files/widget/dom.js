// Elements, made by hand. Whatever the server or the page says becomes a text node
// or a harmless attribute: nothing here, or anywhere else, parses markup.

/** @typedef {Node | string | null | undefined | false} Child */

/** @typedef {Record<string, string | number | boolean | null | undefined | ((event: any) => void)>} Attributes */

/**
 * el makes an element. Attributes that are false, null or undefined are left out;
 * functions listen to the event of their name.
 *
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} name
 * @param {Attributes} [attributes]
 * @param {...Child} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function el(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(key, value);
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(key, value === true ? "" : String(value));
  }
  made.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

/**
 * said is a text of somebody else's making, in its own direction.
 *
 * @param {string} text
 */
export function said(text) {
  return el("bdi", {}, text);
}

/**
 * outside is a link to a page of somebody else's, null unless it is one by https.
 *
 * @param {string | null | undefined} address
 * @param {string} text
 * @param {string} newTab what a screen reader is told besides
 */
export function outside(address, text, newTab) {
  const url = parsed(address);
  if (url?.protocol !== "https:") return null;
  const link = el("a", { target: "_blank", rel: "noopener noreferrer" }, text, el("span", { class: "unseen" }, ` ${newTab}`));
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
  const url = parsed(address);
  if (!url || (url.protocol !== "https:" && url.origin !== location.origin)) return null;
  const image = el("img", { alt: "", loading: "lazy", referrerpolicy: "no-referrer", error: () => image.replaceWith(standIn) });
  image.src = url.href;
  return image;
}

/** @param {string | null | undefined} address */
function parsed(address) {
  try {
    return address ? new URL(address, document.baseURI) : null;
  } catch {
    return null;
  }
}
