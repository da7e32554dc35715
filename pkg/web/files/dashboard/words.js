// How things are said: times, states, verdicts.

import { el, outside, said } from "../dom.js";

const moment = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "short" });
const clock = new Intl.DateTimeFormat("en-GB", { timeStyle: "short" });
const distance = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
const counted = new Intl.NumberFormat("en");

/** @type {[Intl.RelativeTimeFormatUnit, number][]} */
const units = [["day", 86_400], ["hour", 3600], ["minute", 60]];

/**
 * ago is a time in words, from now: "3 hours ago".
 *
 * @param {string} stamp
 * @returns {string}
 */
export function ago(stamp) {
  const seconds = (Date.parse(stamp) - Date.now()) / 1000;
  for (const [unit, length] of units) {
    if (Math.abs(seconds) >= length) return distance.format(Math.trunc(seconds / length), unit);
  }
  return seconds > 5 ? "in a moment" : "a moment ago";
}

/**
 * when shows a time: how long ago, and on which day at what hour.
 *
 * @param {string | null} stamp
 * @param {string} [never] what is said when there is none
 * @returns {HTMLElement}
 */
export function when(stamp, never = "never") {
  if (stamp === null) return el("span", {}, never);
  return el("time", { datetime: stamp, title: moment.format(new Date(stamp)) }, ago(stamp));
}

/**
 * at shows the day and the hour of a time.
 *
 * @param {string} stamp
 * @returns {HTMLElement}
 */
export function at(stamp) {
  return el("time", { datetime: stamp }, moment.format(new Date(stamp)));
}

/**
 * hour is the time of day, on the clock of whoever looks.
 *
 * @param {string | number} stamp
 * @returns {string}
 */
export function hour(stamp) {
  return clock.format(new Date(stamp));
}

/**
 * @param {string} stamp
 * @returns {string}
 */
export function dayAndHour(stamp) {
  return moment.format(new Date(stamp));
}

/**
 * count says how many: "1 account", "12 accounts".
 *
 * @param {number} n
 * @param {string} one
 * @param {string} [many]
 * @returns {string}
 */
export function count(n, one, many = `${one}s`) {
  return `${counted.format(n)} ${n === 1 ? one : many}`;
}

/** @typedef {"good" | "fair" | "bad" | "none"} Mood */

/** @type {Record<string, {words: string, mood: Mood}>} */
const verdicts = {
  valid: { words: "Works", mood: "good" },
  limited: { words: "Works, with limits", mood: "fair" },
  invalid: { words: "Refused", mood: "bad" },
  unknown: { words: "Not known", mood: "none" },
};

/**
 * verdict is what a look found, in words.
 *
 * @param {string | undefined} name undefined: nothing was found yet
 * @returns {{words: string, mood: Mood}}
 */
export function verdict(name) {
  if (name === undefined) return { words: "Not checked yet", mood: "none" };
  return verdicts[name] ?? { words: name, mood: "none" };
}

/**
 * state is an account's, in words.
 *
 * @param {string} name
 * @returns {{words: string, mood: Mood}}
 */
export function state(name) {
  if (name === "connected") return { words: "Connected", mood: "good" };
  if (name === "needs_reauthorization") return { words: "Needs a new key", mood: "bad" };
  return { words: name, mood: "none" };
}

/**
 * badge shows words with their mood, which no one needs colours to tell.
 *
 * @param {{words: string, mood: Mood}} of
 * @returns {HTMLElement}
 */
export function badge({ words, mood }) {
  const signs = { good: "✓", fair: "!", bad: "✕", none: "–" };
  return el("span", { class: `badge ${mood}` }, el("span", { "aria-hidden": "true" }, signs[mood]), " ", said(words));
}

/** @type {Record<string, {words: string, mood: Mood}>} */
const happenings = {
  connected: { words: "Connected", mood: "good" },
  rotated: { words: "Key replaced", mood: "good" },
  recovered: { words: "Works again", mood: "good" },
  disconnected: { words: "Disconnected", mood: "none" },
  reauthorization_needed: { words: "Needs a new key", mood: "bad" },
  connection_failed: { words: "Key refused", mood: "bad" },
  expiring: { words: "Expires soon", mood: "fair" },
};

const prefix = "pipes.connected_account.";

/** The names of events, as the service calls them, with what they are called here. */
export const eventNames = Object.entries(happenings).map(([name, { words }]) => ({ name: prefix + name, words }));

/**
 * happening is an event's name in words.
 *
 * @param {string} name
 * @returns {{words: string, mood: Mood}}
 */
export function happening(name) {
  return happenings[name.replace(prefix, "")] ?? { words: name, mood: "none" };
}

/**
 * lastFour is how a stored key is told from others.
 *
 * @param {string | null} last4
 * @returns {HTMLElement}
 */
export function lastFour(last4) {
  if (last4 === null) return el("span", {}, "not shown: too short");
  return el("code", {}, el("span", { class: "unseen" }, "ends in "), el("span", { "aria-hidden": "true" }, "••••"), said(last4));
}

/**
 * elsewhere shows an address: as a link to a page elsewhere if it is one, else as a
 * text, so that what somebody stored in its place does nothing.
 *
 * @param {string} address
 */
export function elsewhere(address) {
  return outside(address, said(address), "(opens another page)") ?? said(address);
}
