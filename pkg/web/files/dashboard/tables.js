// Tables, and the way through lists that come page by page.

import { el } from "../dom.js";
import { to } from "./router.js";

/**
 * @template T
 * @typedef {{head: string, cell: (row: T) => import("../dom.js").Child | import("../dom.js").Child[], number?: boolean}} Column
 */

/**
 * table shows rows; on a narrow page each becomes a block with its columns'
 * names before their values. The roles say that it is a table then, too.
 *
 * @template T
 * @param {string} label
 * @param {Column<T>[]} columns the first one names its row
 * @param {T[]} rows
 * @returns {HTMLElement}
 */
export function table(label, columns, rows) {
  const heads = columns.map((c) => el("th", { scope: "col", role: "columnheader", class: c.number ? "number" : null }, c.head));
  return el(
    "table",
    { role: "table", "aria-label": label },
    el("thead", { role: "rowgroup" }, el("tr", { role: "row" }, heads)),
    el("tbody", { role: "rowgroup" }, rows.map((row) => el("tr", { role: "row" }, columns.map((c, i) => cell(c, row, i === 0))))),
  );
}

/**
 * @template T
 * @param {Column<T>} column
 * @param {T} row
 * @param {boolean} first
 */
function cell(column, row, first) {
  const attributes = { class: column.number ? "number" : null, "data-head": column.head };
  const content = el("div", {}, column.cell(row));
  return first ? el("th", { ...attributes, scope: "row", role: "rowheader" }, content) : el("td", { ...attributes, role: "cell" }, content);
}

/**
 * pager leads to what stands before and after a page of a list.
 *
 * @param {string} label
 * @param {import("./router.js").Place} place
 * @param {{before: string | null, after: string | null}} ends
 * @returns {HTMLElement | null} null when there is nothing else
 */
export function pager(label, place, ends) {
  if (!ends.before && !ends.after) return null;
  const query = Object.fromEntries(place.query);
  delete query.before;
  delete query.after;
  return el(
    "nav",
    { class: "pager", "aria-label": label },
    ends.before ? el("a", { href: to(place.path, { ...query, before: ends.before }), rel: "prev" }, "Newer") : null,
    ends.after ? el("a", { href: to(place.path, { ...query, after: ends.after }), rel: "next" }, "Older") : null,
  );
}
