// All texts, and how dates and numbers are said.

import { own } from "./api.js";

/**
 * The texts as they are when the page says nothing else. {name} and the like are
 * filled in. Beside these a page may give "error.<code>" for a sentence of the
 * server's, and "reason.<reason>" for one about a key's health.
 *
 * @type {Record<string, string>}
 */
export const TEXTS = {
  lang: "en", // the language of these texts

  title: "Connections",
  loading: "Loading your connections…",
  empty: "There is nothing to connect yet. As soon as this app offers a service, it appears here.",
  failed: "Your connections could not be loaded.",
  offline: "The server did not answer. Look whether you are online, and try again.",
  expired: "Your session has ended. Reload the page to go on.",
  error: "Something went wrong. Try again.",
  retry: "Try again",
  action: "{action}: {name}", // what a screen reader is told of a button
  newTab: "(opens in a new tab)",

  connect: "Connect",
  rotate: "Replace key",
  disconnect: "Disconnect",
  reads: "Who used it",
  notConnected: "Not connected",
  lastFour: "Key that ends with {last4}",
  someKey: "A key is stored",
  since: "Connected since {date}",
  used: "Last used {moment}",
  unused: "Not used yet",
  checked: "Checked {moment}",
  expires: "Expires {date}",

  valid: "Works",
  limited: "Works with limits",
  invalid: "Refused",
  unknown: "Could not be checked",
  unchecked: "Not checked yet",
  refused_once: "Refused once",
  refused_there: "May need a setting",
  lookAgain: "The provider refused this key. Look whether you copied the right one. It is asked again in some minutes.",
  lookThere: "{name} refused this key, but maybe only because of this setting: {label}. You left it open. If you know it, replace the key and choose it.",
  needs_reauthorization: "Needs a new key",
  disconnected: "Disconnected",

  readsLoading: "Loading…",
  readsNone: "Nobody has used this key lately.",
  readsFailed: "This could not be loaded. Close it, and try again in a moment.",
  readOnce: "once",
  readOften: "{count} times within five minutes",
  readBy: "with {key}",
  readsZone: "The newest first, some minutes late. Times are those of {zone}.",

  connectTitle: "Connect {name}",
  rotateTitle: "Replace the key of {name}",
  secret: "API key",
  show: "Show key",
  hide: "Hide key",
  where: "Where do I find it?",
  current: "The key that is stored ends with {last4}. It is replaced when you save.",
  optional: "{label} (optional)",
  choose: "Choose…",
  notSure: "Not sure",
  assumed: "Not sure ({value} is assumed)",
  save: "Save key",
  saveAnyway: "Save it anyway",
  saving: "Saving…",
  cancel: "Cancel",
  missing: "{label} is missing.",
  again: "Nothing was stored. Enter the key once more.",
  unsure: "Nobody knows whether the key was stored. Enter it once more: that does no harm.",
  asPasted: "Leave it as I pasted it",

  notSaved: "{name}: the key was not saved. {why}",
  saved: "{name}: the key is saved.",
  savedValid: "{name}: the key is saved, and it works.",
  savedUnchecked: "{name}: the key is saved. It will be checked soon.",

  disconnectTitle: "Disconnect {name}?",
  disconnectText: "The key is deleted here, and this app can no longer use it. At {name} it stays valid until you revoke it there.",
  disconnectDone: "{name} is disconnected. The key is deleted here.",
  disconnectFailed: "{name} is not disconnected. {why}",
  disconnecting: "Disconnecting…",

  "taken.spaces": "Spaces around the key were left out.",
  "taken.invisible": "Invisible characters were left out.",
  "taken.quotes": "The quotation marks around the key were left out.",
  "taken.bearer": "“Bearer” is no part of the key and was left out.",
  "taken.name": "The name in front of the key was left out.",
  "taken.breaks": "The line breaks in the key were left out.",

  "doubt.keyvend_api_key": "This key belongs to the server of this app, not to you. Do not pass it on. Enter your key of {name}.",
  "doubt.keyvend_token": "This is a token of this app, not a key of {name}. Do not pass it on.",
  "doubt.whole_command": "This is a whole command. Copy the key alone.",
  "doubt.bearer_prefix": "“Bearer” is no part of the key. Copy the key alone.",
  "doubt.quoted_key": "There are quotation marks around the key. Copy the key alone.",
  "doubt.named_key": "There is a name in front of the key. Copy the key alone.",
  "doubt.json": "This is JSON. Copy the key alone.",
  "doubt.address": "This is an address. Copy the key itself.",
  "doubt.variable": "This only stands for a key. Copy the key itself.",
  "doubt.lines": "This is more than one line. Copy the key alone.",
  "doubt.shortened": "This looks like a shortened form of a key. Copy all of it; {name} may show it only once, when it is made.",
  "doubt.characters": "There are characters in it that no key has. Copy the key straight from {name}.",
  "doubt.too_long": "This is longer than any key. Copy the key alone.",
  "doubt.publishable": "This looks like a public key, which cannot do what this app needs. Take the secret one.",
  "doubt.other_vendor": "This looks like a key of {vendor}, not of {name}.",
  "doubt.space_inside": "There is a space in the key. Look whether you copied the key alone.",
  "doubt.unlike": "This does not look like a key of {name}. Look whether you copied all of it.",
  "doubt.test_key": "This is a test key. It works with test data alone.",
};

/** Words says the texts of one element. */
export class Words {
  /**
   * @param {Record<string, string>} texts instead of those above
   * @param {string | undefined} locale the user's by default
   */
  constructor(texts, locale) {
    this.texts = { ...TEXTS, ...texts };
    this.locale = supported(locale);
  }

  /** @param {string} key */
  has(key) {
    return typeof own(this.texts, key) === "string";
  }

  /**
   * @param {string} key
   * @param {Record<string, string | number | null>} [values]
   */
  say(key, values = {}) {
    return String(own(this.texts, key) ?? key).replace(/\{(\w+)\}/g, (whole, name) => String(own(values, name) ?? whole));
  }

  /** @param {string} time */
  date(time) {
    return this.#format(time, { dateStyle: "medium" });
  }

  /** @param {string} time */
  moment(time) {
    return this.#format(time, { dateStyle: "medium", timeStyle: "short" });
  }

  zone() {
    return new Intl.DateTimeFormat(this.locale, { timeZoneName: "long" }).formatToParts().find((part) => part.type === "timeZoneName")?.value ?? "";
  }

  /**
   * @param {string} time
   * @param {Intl.DateTimeFormatOptions} options
   */
  #format(time, options) {
    const at = new Date(time);
    return Number.isNaN(at.getTime()) ? "" : new Intl.DateTimeFormat(this.locale, options).format(at);
  }
}

/**
 * @param {string | undefined} locale
 * @returns {string | undefined} undefined, which is the user's, for what is none
 */
function supported(locale) {
  try {
    return Intl.getCanonicalLocales(locale)[0];
  } catch {
    return undefined;
  }
}
