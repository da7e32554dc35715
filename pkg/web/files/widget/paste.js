// What people paste where a key belongs. Its cases, in pkg/paste/testdata, are the
// API's too.
//
// A key is never changed: what has the form of the provider's keys stays, and else
// only that is taken off which can be part of no key.

import { SHAPES } from "./shapes.js";

/**
 * @typedef {string} Doubt as words.js has its text
 * @typedef {"keyvend_api_key" | "keyvend_token" | "whole_command" | "bearer_prefix"} Mistake what package paste spots
 * @typedef {"spaces" | "invisible" | "quotes" | "bearer" | "name" | "breaks"} Wrapping
 *
 * @typedef {object} Look
 * @property {string} key the text without what was taken off
 * @property {Wrapping[]} taken what that was
 * @property {Doubt | ""} doubt what is odd about the key
 * @property {"" | "refuse" | "warn" | "note"} level whether it can be no key, may be none, or is one
 * @property {boolean} [back] whether it can be sent as it was pasted
 * @property {string} vendor whose key it looks like, with other_vendor
 */

/**
 * look finds the key in a text that was pasted for a provider.
 *
 * @param {string} text
 * @param {string} slug the provider's
 * @returns {Look}
 */
export function look(text, slug) {
  if (text.length > HOPELESS) return TOO_LONG;
  const own = formsOf(slug);
  const { key, taken } = clean(text, own);
  const back = taken.length > 0 && lookAsIs(text, slug).level !== "refuse" && !wrapped(text, own);
  return { key, taken, ...judged(key, slug, own), ...(back && { back }) };
}

/**
 * lookAsIs is look that takes nothing off.
 *
 * @param {string} text
 * @param {string} slug
 * @returns {Look}
 */
export function lookAsIs(text, slug) {
  if (text.length > HOPELESS) return TOO_LONG;
  return { key: text, taken: [], ...judged(text, slug, formsOf(slug)) };
}

const LONGEST = 8192; // that the API takes
const HOPELESS = 4 * LONGEST; // nobody looks for a key in it

/** @type {Look} */
const TOO_LONG = { key: "", taken: [], doubt: "too_long", level: "refuse", vendor: "" };

const LAYERS = 16; // at most

/** @typedef {import("./shapes.js").Form} Form */

/**
 * @param {string} slug
 * @returns {Form[]} what the provider's keys look like; none when nobody knows
 */
function formsOf(slug) {
  return SHAPES.find(([of]) => of === slug)?.[3] ?? [];
}

/**
 * fit is the length of the fixed text that a key of one of the forms begins with,
 * -1 when it has none of them.
 *
 * @param {Form[]} forms
 * @param {string} key
 */
function fit(forms, key) {
  if (key.length > LONGEST) return -1;
  return Math.max(-1, ...forms.filter(([, form]) => form.test(key)).map(([length]) => length));
}

/**
 * @param {string} text
 * @param {Form[]} own
 * @returns {{key: string, taken: Wrapping[]}}
 */
function clean(text, own) {
  /** @type {Set<Wrapping>} */
  const taken = new Set();
  let key = text;
  for (let layers = 0; layers < LAYERS; layers++) {
    const layer = outermost(key, own);
    if (!layer) break;
    taken.add(layer.what);
    key = layer.inside;
  }
  return { key, taken: [...taken] };
}

/**
 * @param {string} key
 * @param {Form[]} own
 * @returns {{what: Wrapping, inside: string} | undefined}
 */
function outermost(key, own) {
  if (fit(own, key) >= 0) return undefined;
  for (const [what, off] of WRAPPINGS) {
    const inside = off(key, own);
    if (inside !== key) return { what, inside };
  }
  return undefined;
}

/**
 * Each answers what is inside a layer, or the text when there is none.
 *
 * @type {[Wrapping, (text: string, own: Form[]) => string][]}
 */
const WRAPPINGS = [
  ["invisible", (text) => text.replace(/[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]/g, "")],
  ["spaces", (text) => text.trim()],
  ["quotes", unquoted],
  ["bearer", (text) => text.replace(/^(?:authorization\s*:\s*)?bearer\s+/i, "")],
  ["name", unnamed],
  ["breaks", joined],
];

/**
 * @param {string} text
 * @param {Form[]} own
 */
function unquoted(text, own) {
  const [, quote, straight] = /^(["'`])(.+)\1[,;]?$/s.exec(text) ?? [];
  if (quote && straight && (!straight.includes(quote) || fit(own, straight) >= 0)) return straight;
  return /^(?:“([^“”]+)”|‘([^‘’]+)’|„([^„“”]+)[“”]|«([^«»]+)»)$/.exec(text)?.slice(1).join("") ?? text;
}

/**
 * unnamed takes off a name as .env files have it, and any other before a key.
 *
 * @param {string} text
 * @param {Form[]} own
 */
function unnamed(text, own) {
  const [, , header] = /^(?:-H|--header) *(["'])(.+)\1$/.exec(text) ?? [];
  if (header) return header;
  const line = text.replace(/^(?:export +|set +|\$env:)/, "");
  const [, name, value] = /^([A-Z][A-Z0-9_]*)\s*=\s*([^\s=].{7,})$/.exec(line) ?? [];
  if (name && value && /KEY|TOKEN|SECRET|PASSWORD|_PAT$/.test(name)) return value;
  const behind = unquoted(/^["']?[a-z][\w .-]{0,63}?["']?(?:\s*[:=]\s*| +)(\S+)$/i.exec(line)?.[1] ?? "", own);
  return fit(own, behind) >= 0 ? behind : text;
}

/**
 * wrapped is what the API finds round a key.
 *
 * @param {string} text
 * @param {Form[]} own
 * @returns {string}
 */
function wrapped(text, own) {
  if (fit(own, text) >= 0) return "";
  const bare = text.trim();
  if (bare !== text) return "spaces";
  if (/^(["'`]).+\1$/.test(bare) || fit(own, unquoted(bare, own)) >= 0) return "quoted_key";
  return VARIABLE.test(bare) || LABELLED.test(bare) || fit(own, unnamed(bare, own)) >= 0 ? "named_key" : "";
}

const VARIABLE = /^(?=[A-Z\d]*_)[A-Z\d_]*(?:KEY|TOKEN|SECRET)[A-Z\d_]* *= *[^ =]/;
const LABELLED =
  /^(?:(?:export +|set +|\$env:)\w+ *=|(?:-H|--header) *["']|["']?[\w.-]*(?:authorization|key|token|secret)["']?(?: *[:=] *["']| *: | += )|token +[^ ]+$)/i;

/**
 * joined takes out line breaks if the pieces together are a key, and none alone is.
 *
 * @param {string} text
 * @param {Form[]} own
 */
function joined(text, own) {
  const pieces = text.split(/[\r\n]+/).map((piece) => piece.trim()).filter((piece) => piece !== "");
  const whole = pieces.join("");
  return pieces.some((piece) => fit(own, piece) >= 0) || fit(own, whole) < 0 ? text : whole;
}

/**
 * @param {string} key
 * @param {string} slug
 * @param {Form[]} own
 * @returns {Pick<Look, "doubt" | "level" | "vendor">}
 */
function judged(key, slug, own) {
  const [doubt, vendor = ""] = doubtOf(key, slug, own);
  const never = NEVER.test(doubt) || !PRINTABLE.test(key) || NOTHING.test(key) || STAND_IN.test(key) || (doubt === "address" && own[0]);
  return { doubt, level: doubt && (doubt === "test_key" ? "note" : never ? "refuse" : "warn"), vendor };
}

/** What the API refuses. */
const NEVER = /^(?:keyvend|whole|bearer|too|quoted|named)_/;
const PRINTABLE = /^[ -~]*$/;
const NOTHING = /^(?:[^a-z\d]*|bearer|token|undefined|null|\{\{.*\}\}|\$\{\w+\}|[a-z_]*(?:key|token|secret) *[:=] *["']*)$/i;
const STAND_IN = /^\W?(?:your|insert|replace)[-_ a-z]*(?:key|token|secret)[-_ a-z]*\W?$/i;

const TEST_KEY = /^(?:[a-z]{2,10}_)?(?:test|sdbx|sandbox)_|^EZTK/;

/**
 * @param {string} key
 * @param {string} slug
 * @param {Form[]} own
 * @returns {[Doubt | "", string?]} with the vendor's name
 */
function doubtOf(key, slug, own) {
  if (key === "") return [""];
  const wrong = mistake(key);
  if (wrong) return [wrong];
  if (/[\r\n]/.test(key)) return ["lines"];
  if (/\*{3}|\.{3}|[•●…]/.test(key)) return ["shortened"];
  if (!PRINTABLE.test(key)) return ["characters"];
  if (key.length > LONGEST) return ["too_long"];
  const fits = fit(own, key);
  const other = OTHERS.find(([, form]) => fits < 0 && form.test(key));
  if (other) return [other[0]];
  const round = wrapped(key, own);
  if (round && round !== "spaces") return [round];
  const vendor = otherVendor(key, slug, own.length > 0, fits);
  if (vendor) return ["other_vendor", vendor];
  if (key.includes(" ")) return ["space_inside"];
  if (own.length > 0 && fits < 0) return ["unlike"];
  return TEST_KEY.test(key) ? ["test_key"] : [""];
}

/** @type {[string, RegExp][]} */
const OTHERS = [
  ["variable", NOTHING],
  ["variable", STAND_IN],
  ["variable", /^\$\w+$|^(?:process|import\.meta|os)\.env|^x{4,}$/i],
  ["json", /^[{[].*[}\]]$/s],
  ["address", /^https?:\/\//i],
  ["publishable", /^(?:pk_(?:live|test)_|(?:live|test)_pub_|phc_|sb_publishable_|pk\.eyJ)/],
];

/**
 * mistake is what package paste spots.
 *
 * @param {string} text
 * @returns {"" | Mistake}
 */
export function mistake(text) {
  const bare = text.trim().replace(/^(["'`])(.*)\1[,;]*$/s, "$2").trim();
  if (/^sk_kv_|sk_kv_[\w-]{100}/.test(bare)) return "keyvend_api_key";
  if (bare.includes("eyJhbGciOiJFZERTQSIsInR5cCI6ImtleXZlbmQt")) return "keyvend_token";
  if (/^(?:\$ )?(?:curl|wget)(?:\.exe)? (?:-|.*(?::\/\/| -))/s.test(bare)) return "whole_command";
  if (/^(?:authorization *: *)?bearer /i.test(bare)) return "bearer_prefix";
  return "";
}

/**
 * otherVendor names the provider that a key begins like, if that says more than what
 * is known of the one in question.
 *
 * @param {string} key
 * @param {string} slug
 * @param {boolean} known whether that one's keys are known to have a form
 * @param {number} fits how much of the key it says
 */
function otherVendor(key, slug, known, fits) {
  let best = { length: 0, sure: 0, name: "" };
  for (const [of, name, sure, forms] of SHAPES) {
    // A short beginning is shared by many, and by those who are not in the catalog.
    const least = known && fits <= 0 && sure === 2 ? 3 : 4;
    const length = of === slug ? -1 : fit(forms, key);
    if (length < least || length <= fits) continue;
    if (length > best.length || (length === best.length && sure > best.sure)) best = { length, sure, name };
  }
  return best.name;
}
