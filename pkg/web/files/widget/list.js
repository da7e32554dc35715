// The list of services, and of what the user has connected.

import { el, picture, said } from "../dom.js";
import { own } from "./api.js";

/**
 * @typedef {import("./api.js").Offer} Offer
 * @typedef {import("./api.js").Account} Account
 * @typedef {import("./ledger.js").Ledger} Ledger
 * @typedef {import("./words.js").Words} Words
 *
 * @typedef {object} Actions what a user may do with a service
 * @property {(offer: Offer) => void} connect first or again
 * @property {(offer: Offer, account: Account) => void} disconnect
 * @property {(account: Account) => Ledger} ledger of an account that is unfolded now
 * @property {Map<string, Ledger>} ledgers those that are unfolded, by account id
 */

/**
 * list shows the offers.
 *
 * @param {Offer[]} offers
 * @param {Words} words
 * @param {Actions} actions
 * @param {Record<string, string>} logos addresses of pictures, by slug
 */
export function list(offers, words, actions, logos) {
  if (offers.length === 0) return el("p", {}, words.say("empty"));
  return el("ul", { class: "list", role: "list", part: "list" }, ...offers.map((offer) => row(offer, words, actions, own(logos, offer.slug))));
}

/**
 * @param {Offer} offer
 * @param {Words} words
 * @param {Actions} actions
 * @param {string | undefined} logo
 */
function row(offer, words, actions, logo) {
  const { account, name, description } = offer;
  const about = el("div", { class: "about" }, el("h3", {}, said(name)), description && el("p", { class: "hint" }, said(description)));
  if (!account) {
    about.append(el("p", { class: "state" }, words.say("notConnected")));
    return el("li", { part: "service" }, sign(name, logo), about, el("div", { class: "actions" },
      button(offer, "connect", words, () => actions.connect(offer), "main")));
  }
  about.append(...standing(offer, account, words));
  const ledger = el("div", { class: "ledger", id: `reads-${offer.slug}` });
  const opener = button(offer, "reads", words, () => {
    if (!actions.ledgers.delete(account.id)) {
      const unfolded = actions.ledger(account);
      actions.ledgers.set(account.id, unfolded);
      unfolded.load();
    }
    show();
  });
  const show = () => {
    const unfolded = actions.ledgers.get(account.id);
    ledger.hidden = !unfolded;
    opener.setAttribute("aria-expanded", String(!ledger.hidden));
    unfolded?.show(ledger, opener.ariaLabel ?? "", words);
  };
  opener.setAttribute("aria-controls", ledger.id);
  show();
  return el("li", { part: "service" }, sign(name, logo), about, el("div", { class: "actions" },
    button(offer, "rotate", words, () => actions.connect(offer)),
    opener,
    button(offer, "disconnect", words, () => actions.disconnect(offer, account), "danger"),
  ), ledger);
}

/**
 * @param {string} name
 * @param {string | undefined} logo
 */
function sign(name, logo) {
  const initial = el("span", { class: "logo initial", "aria-hidden": "true" }, [...name.trim()][0]?.toUpperCase());
  const image = picture(logo, initial);
  image?.classList.add("logo");
  return image ?? initial;
}

/**
 * button is one of a service's. Its key finds it again when the list is made anew.
 *
 * @param {Offer} offer
 * @param {string} action
 * @param {Words} words
 * @param {() => void} click
 * @param {string} [kind]
 */
function button(offer, action, words, click, kind) {
  const text = words.say(action);
  return el("button", {
    type: "button", class: kind, part: "button", "data-key": `${action} ${offer.slug}`,
    "aria-label": words.say("action", { action: text, name: offer.name }), click,
  }, text);
}

/** Refusals that do not count, or not yet. */
const WARNINGS = ["refused_once", "refused_there"];

/**
 * standing tells how the account does.
 *
 * @param {Offer} offer
 * @param {Account} account
 * @param {Words} words
 */
function standing(offer, account, words) {
  const { state, health } = account;
  const found = health && WARNINGS.includes(health.reason) ? health.reason : (health?.verdict ?? "unchecked");
  const verdict = state !== "connected" ? state : found;
  const color = own({ valid: "good", limited: "warning", refused_once: "warning", refused_there: "warning", unknown: "", unchecked: "" }, verdict) ?? "bad";
  const last4 = account.api_key_last_4;
  const facts = [
    last4 ? words.say("lastFour", { last4: tail(last4) }) : words.say("someKey"),
    words.say("since", { date: words.date(account.created_at) }),
    account.last_used_at ? words.say("used", { moment: words.moment(account.last_used_at) }) : words.say("unused"),
    account.expires_at && words.say("expires", { date: words.date(account.expires_at) }),
    health && words.say("checked", { moment: words.moment(health.checked_at) }),
  ];
  return [
    el("p", { class: `state ${color}` }, words.has(verdict) ? words.say(verdict) : words.say("unknown")),
    health && health.verdict !== "valid" && el("p", { class: "hint" }, said(sentence(offer, health, words))),
    el("p", { class: "meta" }, ...facts.filter(Boolean).map((fact) => el("span", {}, fact || ""))),
  ].filter((child) => child instanceof Node);
}

/**
 * tail shows the last four characters of a key, from left to right in every text.
 *
 * @param {string} last4
 */
export function tail(last4) {
  return `\u2066••••${last4}\u2069`;
}

/**
 * sentence says what is known of a key.
 *
 * @param {Offer} offer
 * @param {import("./api.js").Health} health
 * @param {Words} words
 */
export function sentence(offer, health, words) {
  const reason = `reason.${health.reason}`;
  if (words.has(reason)) return words.say(reason);
  if (health.reason === "refused_once") return words.say("lookAgain");
  const open = offer.config_fields.filter((field) => field.default && !own(offer.account?.config, field.field));
  if (health.reason !== "refused_there" || open.length === 0) return health.sentence;
  return words.say("lookThere", { name: offer.name, label: open.map((field) => field.label).join(", ") });
}
