// The pages by their address, which is all behind the # of the dashboard's own:
// #/accounts?integration=openai. Every page can be linked to.

/** @typedef {{path: string[], query: URLSearchParams}} Place */

/**
 * here is the place that the address names.
 *
 * @returns {Place}
 */
export function here() {
  const [path = "", query = ""] = cut(location.hash.replace(/^#/, ""), "?");
  return { path: path.split("/").filter((p) => p !== "").map(decoded), query: new URLSearchParams(query) };
}

/**
 * to is the address of a place.
 *
 * @param {string[]} path
 * @param {Record<string, string | null | undefined>} [query] what is null, undefined or "" is left out
 * @returns {string}
 */
export function to(path, query = {}) {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value) search.set(name, value);
  }
  const text = search.toString();
  return `#/${path.map(encodeURIComponent).join("/")}${text === "" ? "" : `?${text}`}`;
}

/**
 * @param {string} text
 * @param {string} at
 */
function cut(text, at) {
  const i = text.indexOf(at);
  return i < 0 ? [text, ""] : [text.slice(0, i), text.slice(i + at.length)];
}

/** @param {string} text */
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
