// Pictures of numbers, each with the numbers in a table beside it.

import { el, furnish } from "../dom.js";
import { table } from "./tables.js";
import { badge, count, dayAndHour, hour, verdict, when } from "./words.js";

/**
 * A Series is one kind of what is counted.
 *
 * @typedef {{name: string, mood: string}} Series
 */

/** @typedef {{start: string, values: number[]}} Column one hour, a value for each series */

const tall = 100;

/**
 * bars shows what happened hour by hour.
 *
 * @param {string} title
 * @param {Series[]} series
 * @param {Column[]} columns oldest first
 * @param {string} nothing what is said when all of it is zero
 * @returns {HTMLElement}
 */
export function bars(title, series, columns, nothing) {
  const sums = series.map((_, i) => columns.reduce((sum, c) => sum + (c.values[i] ?? 0), 0));
  const most = Math.max(...columns.map(total), 0);
  if (most === 0) {
    return el("figure", { class: "chart" }, el("figcaption", {}, title), el("p", { class: "empty" }, nothing));
  }
  const summary = `${title}: ${series.map((s, i) => `${sums[i]} ${s.name}`).join(", ")}, at most ${most} in an hour.`;
  return el(
    "figure",
    { class: "chart" },
    el("figcaption", {}, title),
    el("div", { class: "plot" }, el("span", { class: "most", "aria-hidden": "true" }, most), picture(summary, series, columns, most)),
    axis(columns),
    el(
      "ul",
      { class: "legend" },
      series.map((s, i) => el(
        "li",
        {},
        svg("svg", { viewBox: "0 0 10 10", "aria-hidden": "true" }, svg("rect", { class: s.mood, width: 10, height: 10 })),
        `${sums[i]} ${s.name}`,
      )),
    ),
    el("details", { "data-keep": title }, el("summary", {}, "The numbers"), numbers(title, series, columns)),
  );
}

/** @param {Column} column */
function total(column) {
  return column.values.reduce((sum, n) => sum + n, 0);
}

/**
 * @param {string} summary
 * @param {Series[]} series
 * @param {Column[]} columns
 * @param {number} most
 */
function picture(summary, series, columns, most) {
  const wide = 10;
  return svg(
    "svg",
    { viewBox: `0 0 ${columns.length * wide} ${tall}`, preserveAspectRatio: "none", role: "img", "aria-label": summary },
    columns.map((column, i) => {
      let below = tall;
      return svg(
        "g",
        {},
        svg("title", {}, `${dayAndHour(column.start)}: ${series.map((s, k) => `${column.values[k]} ${s.name}`).join(", ")}`),
        series.map((s, k) => {
          const height = ((column.values[k] ?? 0) / most) * tall;
          below -= height;
          return svg("rect", { class: s.mood, x: i * wide + 1, y: below, width: wide - 2, height });
        }),
      );
    }),
  );
}

/** @param {Column[]} columns */
function axis(columns) {
  const [first, last] = [columns[0], columns.at(-1)];
  if (!first || !last) return null;
  const label = columns.length > 24 ? dayAndHour : hour;
  return el("p", { class: "axis", "aria-hidden": "true" }, el("span", {}, label(first.start)), el("span", {}, label(last.start)));
}

/**
 * @param {string} title
 * @param {Series[]} series
 * @param {Column[]} columns
 */
function numbers(title, series, columns) {
  const counted = columns.filter((c) => total(c) > 0).reverse();
  return table(
    `${title}, hours in which something happened`,
    [
      { head: "Hour from", cell: (c) => dayAndHour(c.start) },
      ...series.map((s, i) => ({ head: s.name, number: true, cell: (/** @type {Column} */ c) => c.values[i] ?? 0 })),
    ],
    counted,
  );
}

/**
 * strip shows what looks at a key found, one after the other.
 *
 * @param {import("./api.js").Look[]} looks newest first
 * @returns {SVGSVGElement}
 */
export function strip(looks) {
  const side = 10;
  const heights = { good: 10, fair: 7, bad: 4, none: 2 };
  const verdicts = [...looks].reverse().map((l) => verdict(l.verdict).words.toLowerCase());
  const summary = `The last ${count(looks.length, "look")}, oldest first: ${verdicts.join("; ")}.`;
  return svg(
    "svg",
    { class: "strip", viewBox: `0 0 ${Math.max(looks.length, 1) * (side + 2)} ${side}`, role: "img", "aria-label": summary },
    [...looks].reverse().map((look, i) => {
      const { words, mood } = verdict(look.verdict);
      return svg(
        "g",
        {},
        svg("title", {}, `${dayAndHour(look.checked_at)}: ${words}`),
        svg("rect", { class: mood, x: i * (side + 2), y: side - heights[mood], width: side, height: heights[mood] }),
      );
    }),
  );
}

/**
 * looksTable is strip in words.
 *
 * @param {import("./api.js").Look[]} looks
 */
export function looksTable(looks) {
  return table(
    "Looks at the key, newest first",
    [
      { head: "When", cell: (look) => when(look.checked_at) },
      { head: "Verdict", cell: (look) => badge(verdict(look.verdict)) },
      { head: "What was found", cell: (look) => look.sentence },
      { head: "Why it was looked", cell: (look) => causes[look.cause] ?? look.cause },
    ],
    looks,
  );
}

/** @type {Record<string, string>} */
const causes = {
  schedule: "its time had come",
  request: "somebody asked for it",
  report: "a backend said that it was refused",
  confirm: "it was refused once",
  save: "it was about to be stored",
};

/**
 * svg is el for pictures.
 *
 * @template {keyof SVGElementTagNameMap} K
 * @param {K} name
 * @param {import("../dom.js").Attributes} [attributes]
 * @param {...(import("../dom.js").Child | import("../dom.js").Child[])} children
 * @returns {SVGElementTagNameMap[K]}
 */
function svg(name, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  furnish(made, attributes, children);
  return made;
}
