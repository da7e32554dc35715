// The form that takes a key.

import { el, outside, said } from "../dom.js";
import { own } from "./api.js";
import { busy, isBusy } from "./dialog.js";
import { tail } from "./list.js";
import { look, lookAsIs } from "./paste.js";

/**
 * @typedef {import("./api.js").Offer} Offer
 * @typedef {import("./api.js").Field} Field
 * @typedef {import("./words.js").Words} Words
 */

/** KeyForm takes a key and the settings that go with it. */
export class KeyForm {
  /** The text that the user wants to have as it is. */
  #asIs = "";
  /** What the user was told of a text before it is sent. */
  #told = "";

  /**
   * @param {Offer} offer
   * @param {Words} words
   * @param {(secret: string, config: Record<string, string> | undefined) => Promise<string>} save answers why not, and what next, "" when it is done
   * @param {() => void} cancel
   */
  constructor(offer, words, save, cancel) {
    this.offer = offer;
    this.words = words;
    this.save = save;
    // Browsers offer to keep what is in a field for passwords, whatever "off" says:
    // but for codes that are good once.
    this.input = el("input", {
      id: "secret", type: "password", dir: "ltr", autocomplete: "one-time-code", autocapitalize: "none", autocorrect: "off", spellcheck: "false",
      "data-1p-ignore": true, "data-lpignore": "true", "data-bwignore": true, "data-form-type": "other",
      "aria-describedby": "secret-hint secret-notice", "aria-required": "true",
      paste: (/** @type {ClipboardEvent} */ event) => this.#pasted(event),
      input: () => this.#typed(),
    });
    this.notice = el("div", { id: "secret-notice", role: "status" });
    this.error = el("p", { role: "alert", class: "bad" });
    this.submit = el("button", { type: "submit", class: "main", part: "button" }, words.say("save"));
    this.settings = offer.config_fields.map((field) => ({ field, control: control(field, own(offer.account?.config, field.field), words) }));
    this.element = el("form", { novalidate: true, autocomplete: "off", submit: (/** @type {SubmitEvent} */ event) => this.#submitted(event) },
      this.#secretField(),
      ...this.settings.map(({ field, control }) => setting(field, control, words)),
      this.error,
      el("div", { class: "actions" }, this.submit, el("button", { type: "button", part: "button", click: cancel }, words.say("cancel"))),
    );
  }

  #secretField() {
    const { offer, words } = this;
    const last4 = offer.account?.api_key_last_4;
    const reveal = el("button", {
      type: "button", part: "button",
      click: () => {
        const shown = this.input.type === "text";
        this.input.type = shown ? "password" : "text";
        reveal.textContent = words.say(shown ? "show" : "hide");
      },
    }, words.say("show"));
    return el("div", { class: "field" },
      el("label", { for: "secret" }, words.say("secret")),
      el("div", { id: "secret-hint", class: "hint" },
        offer.key_hint && el("p", {}, said(offer.key_hint)),
        offer.help && el("p", {}, said(offer.help)),
        last4 && el("p", {}, words.say("current", { last4: tail(last4) })),
      ),
      outside(offer.help_url, words.say("where"), words.say("newTab")),
      el("div", { class: "secret" }, this.input, reveal),
      this.notice,
    );
  }

  /**
   * A field of one line drops line breaks, which tell a key from a whole file; so
   * what replaces everything in the field is looked at before it gets there.
   *
   * @param {ClipboardEvent} event
   */
  #pasted(event) {
    const { input } = this;
    const text = event.clipboardData?.getData("text/plain") ?? "";
    if (text === "" || input.selectionStart !== 0 || input.selectionEnd !== input.value.length) return;
    event.preventDefault();
    this.#take(text);
  }

  #typed() {
    this.error.textContent = "";
    this.#guard(false);
  }

  /**
   * guard says what is odd about what is in the field: of a key that is still being
   * typed only what it will not grow out of.
   *
   * @param {boolean} whole whether it is all there
   */
  #guard(whole) {
    const text = this.input.value;
    if (whole && text !== this.#asIs) return this.#take(text);
    const seen = lookAsIs(text, this.offer.slug);
    this.#tell(seen.level === "refuse" || whole ? seen : { ...seen, doubt: "", level: "" }, "");
  }

  /**
   * take puts the key that is in a text into the field.
   *
   * @param {string} text
   */
  #take(text) {
    const seen = look(text, this.offer.slug);
    // A field of one line has no line breaks, and here they are what is wrong.
    const lines = seen.doubt === "lines";
    this.input.value = lines ? "" : seen.key;
    this.#asIs = "";
    this.#tell(lines ? { ...seen, taken: [] } : seen, text);
  }

  /**
   * @param {import("./paste.js").Look} seen
   * @param {string} pasted what it was before something was taken off
   */
  #tell({ taken, doubt, level, vendor, back }, pasted) {
    const { words, offer, input } = this;
    const lines = [...taken.map((what) => words.say(`taken.${what}`)), ...(doubt ? [words.say(`doubt.${doubt}`, { name: offer.name, vendor })] : [])];
    const undo = back && this.#undo(pasted);
    const color = { refuse: "bad", warn: "warning", note: "hint", "": "hint" }[level];
    const message = lines.length > 0 && el("div", { class: `notice ${color}` }, said(lines.join(" ")), undo);
    if (message ? message.textContent !== this.notice.textContent : this.notice.firstChild) this.notice.replaceChildren(...(message ? [message] : []));
    if (level === "refuse") input.setAttribute("aria-invalid", "true");
    else input.removeAttribute("aria-invalid");
    this.submit.textContent = words.say(level === "warn" ? "saveAnyway" : "save");
    this.#told = lines.length > 0 ? input.value : "";
  }

  /** @param {string} pasted */
  #undo(pasted) {
    return el("button", { type: "button", part: "button", click: () => this.#leave(pasted) }, this.words.say("asPasted"));
  }

  /** @param {string} text */
  #leave(text) {
    this.input.value = this.#asIs = text;
    this.#guard(true);
    this.input.focus();
  }

  /** @param {SubmitEvent} event */
  async #submitted(event) {
    event.preventDefault();
    if (isBusy(this.submit)) return;
    // Nothing is sent that was changed or is doubted, and not told of.
    const before = this.#told;
    this.#guard(true);
    const { input, words } = this;
    const secret = input.value;
    if (secret.trim() === "") return this.#refuse(words.say("missing", { label: words.say("secret") }), input);
    if (input.getAttribute("aria-invalid") === "true" || (this.#told !== "" && this.#told !== before)) return input.focus();
    const empty = this.settings.find(({ field, control }) => field.required && control.value.trim() === "");
    if (empty) return this.#refuse(words.say("missing", { label: empty.field.label }), empty.control);
    await this.#send(secret);
  }

  /**
   * From here on the key is in no element: whatever comes of it, the user enters it
   * anew.
   *
   * @param {string} secret
   */
  async #send(secret) {
    const { input, words } = this;
    this.clear();
    const done = busy(this.submit, words.say("saving"));
    const why = await this.save(secret, this.#config());
    done(words.say("save"));
    if (why !== "") this.#refuse(why, input);
  }

  /** clear forgets the key, and leaves the settings. */
  clear() {
    this.input.value = "";
    this.#asIs = this.#told = "";
    this.input.removeAttribute("aria-invalid");
    this.notice.replaceChildren();
    this.error.textContent = "";
    this.submit.textContent = this.words.say("save");
  }

  /**
   * @param {string} why
   * @param {HTMLElement} where
   */
  #refuse(why, where) {
    this.error.textContent = why;
    where.focus();
  }

  /**
   * Where nothing stood and nothing was entered, nothing is said, with which keyvend
   * asks for what it has and no form may begin with.
   */
  #config() {
    const { account } = this.offer;
    const entered = this.settings.map(({ field, control }) => [field.field, control.value.trim()]).filter(([, value]) => value !== "");
    const untouched = account && entered.length === 0 && !this.settings.some(({ field }) => own(account.config, field.field));
    return this.settings.length === 0 || untouched ? undefined : Object.fromEntries(entered);
  }
}

/**
 * control is what a setting is entered with. It holds what was chosen, and
 * nothing that is only assumed.
 *
 * @param {Field} field
 * @param {string | undefined} stored
 * @param {Words} words
 */
function control(field, stored, words) {
  const value = stored ?? "";
  const options = field.options ?? [];
  const common = { id: `field-${field.field}`, "aria-describedby": `hint-${field.field}`, "aria-required": String(field.required), autocomplete: "off" };
  const assumed = field.default && words.say("assumed", { value: options.find((option) => option.value === field.default)?.label ?? field.default });
  if (options.length === 0) {
    return el("input", { ...common, type: "text", dir: "ltr", value, placeholder: assumed || field.example, autocapitalize: "none", spellcheck: "false" });
  }
  // What is stored may be none of the options any more: then nothing is chosen.
  return el("select", common,
    el("option", { value: "" }, assumed || words.say(field.required ? "choose" : "notSure")),
    ...options.map((option) => el("option", { value: option.value, selected: option.value === value }, option.label)));
}

/**
 * @param {Field} field
 * @param {HTMLInputElement | HTMLSelectElement} control
 * @param {Words} words
 */
function setting(field, control, words) {
  return el("div", { class: "field" },
    el("label", { for: control.id }, said(field.required ? field.label : words.say("optional", { label: field.label }))),
    el("p", { id: `hint-${field.field}`, class: "hint" }, said(field.description)),
    control,
  );
}
