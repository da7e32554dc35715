// Who read a key: its newest uses.

import { el, said } from "../dom.js";

/**
 * @typedef {import("./api.js").Read} Read
 * @typedef {import("./words.js").Words} Words
 */

/** Ledger is an account's, as far as it is known; it outlives that the list is made anew. */
export class Ledger {
  /** @type {Read[]} */
  #reads = [];
  #asked = 0; // how often: the newest answer alone counts
  /** @type {"loading" | "loaded" | "failed"} */
  #state = "loading";
  #draw = () => {};

  /** @param {() => Promise<Read[]>} ask */
  constructor(ask) {
    this.ask = ask;
  }

  /** load shows what there is by now, and until then what was known before. */
  async load() {
    const asked = ++this.#asked;
    try {
      const reads = await this.ask();
      if (asked !== this.#asked) return;
      this.#reads = reads;
      this.#state = "loaded";
    } catch {
      if (asked !== this.#asked) return;
      this.#state = "failed";
    }
    this.#draw();
  }

  /**
   * show shows the ledger in a place from now on.
   *
   * @param {HTMLElement} place
   * @param {string} title
   * @param {Words} words
   */
  show(place, title, words) {
    const news = el("p", { role: "status", class: "hint" });
    this.#draw = () => {
      const reads = this.#reads;
      place.replaceChildren(news, ...(reads.length > 0 ? [entries(reads, title, words)] : []));
      news.textContent = this.#news(words);
    };
    this.#draw();
  }

  /** @param {Words} words */
  #news(words) {
    if (this.#state === "failed") return words.say("readsFailed");
    if (this.#reads.length > 0) return words.say("readsZone", { zone: words.zone() });
    return this.#state === "loading" ? words.say("readsLoading") : words.say("readsNone");
  }
}

/**
 * @param {Read[]} reads
 * @param {string} title
 * @param {Words} words
 */
function entries(reads, title, words) {
  return el("ol", { class: "hint", role: "list", "aria-label": title }, ...reads.map((read) => entry(read, words)));
}

/**
 * @param {Read} read
 * @param {Words} words
 */
function entry({ last_read_at: at, count, api_key_name: name, api_key_id: id }, words) {
  return el("li", {},
    el("time", { datetime: at }, words.moment(at)),
    el("span", {}, words.say(count === 1 ? "readOnce" : "readOften", { count })),
    el("span", {}, said(words.say("readBy", { key: name ?? id }))));
}
