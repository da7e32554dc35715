// Forms: fields with a label and help, and what the service says about them
// beside them.

import { Refusal } from "./api.js";
import { el, fill, said } from "../dom.js";

/**
 * A Field is one thing to fill in. name is what the service calls it in what it
 * complains of.
 *
 * @typedef {object} Field
 * @property {string} name
 * @property {HTMLElement} node
 * @property {() => string} value what was written, or, as long as nothing was, what was there: all of it, also what a control does not show
 * @property {(sentence: string) => void} complain "" takes the complaint back
 * @property {() => void} focus
 * @property {() => string} missing what to say when it has to be filled in and is not; else ""
 */

/** @typedef {HTMLInputElement | HTMLTextAreaElement | HTMLSelectElement} Control */

/**
 * @typedef {object} FieldWords
 * @property {string} name
 * @property {string} label
 * @property {string | Node} [help]
 * @property {boolean} [required]
 */

/** @typedef {{trimmed: () => string}} Trimming value without the blanks around what was written */

/**
 * around puts label, help and complaint around a control.
 *
 * @template {Control} C
 * @param {FieldWords} words
 * @param {C} control
 * @param {string} [given] what it is to hold
 * @returns {Field & Trimming & {control: C}}
 */
function around(words, control, given = control.value) {
  const id = fresh("field");
  const shown = control.value; // which has no line breaks in a line, say
  const written = () => (control.value === shown ? null : control.value);
  control.id = id;
  const complaint = el("p", { class: "complaint", id: `${id}-complaint` });
  const help = words.help === undefined ? null : el("p", { class: "help", id: `${id}-help` }, words.help);
  control.setAttribute("aria-describedby", `${help ? `${id}-help ` : ""}${id}-complaint`);
  if (words.required) control.setAttribute("aria-required", "true");
  return {
    name: words.name,
    control,
    node: el(
      "div",
      { class: "field" },
      el("label", { for: id }, words.label, words.required ? null : el("span", { class: "optional" }, " (optional)")),
      help,
      control,
      complaint,
    ),
    value: () => written() ?? given,
    trimmed: () => written()?.trim() ?? given,
    complain(sentence) {
      fill(complaint, sentence === "" ? null : said(sentence));
      if (sentence === "") control.removeAttribute("aria-invalid");
      else control.setAttribute("aria-invalid", "true");
    },
    focus: () => control.focus(),
    missing: () => (words.required && (written()?.trim() ?? given) === "" ? `${words.label} is missing.` : ""),
  };
}

/**
 * text is a line, or some, to write.
 *
 * @param {FieldWords & {value?: string, type?: "text" | "password" | "search" | "datetime-local" | "url", max?: number, code?: boolean, min?: string}} of
 */
export function text(of) {
  return around(of, el("input", { ...writing(of), type: of.type ?? "text", min: of.min, value: of.value }), of.value);
}

/** @param {FieldWords & {value?: string, max?: number, code?: boolean, rows?: number}} of */
export function lines(of) {
  return around(of, el("textarea", { ...writing(of), rows: of.rows ?? 3 }, of.value ?? ""), of.value);
}

/** @param {{max?: number, code?: boolean}} of */
function writing(of) {
  return {
    maxlength: of.max,
    dir: of.code ? "ltr" : "auto",
    class: of.code ? "code" : null,
    autocomplete: "off",
    ...(of.code && { spellcheck: "false", autocapitalize: "off" }),
  };
}

/**
 * choice is one of a list.
 *
 * @param {FieldWords & {value?: string, options: {value: string, label: string}[]}} of
 */
export function choice(of) {
  const options = of.options.map((o) => el("option", { value: o.value, selected: o.value === of.value }, o.label));
  return { ...around({ ...of, required: true }, el("select", {}, options)), missing: () => "" };
}

/**
 * tick is yes or no.
 *
 * @param {{name: string, label: string, help?: string | Node, checked?: boolean, value?: string}} of
 * @returns {Field & {control: HTMLInputElement, checked: () => boolean}}
 */
export function tick(of) {
  const id = fresh("tick");
  const control = el("input", { type: "checkbox", id, checked: of.checked, value: of.value, "aria-describedby": of.help ? `${id}-help` : null });
  return {
    name: of.name,
    control,
    node: el(
      "div",
      { class: "tick" },
      control,
      el("div", {}, el("label", { for: id }, of.label), of.help ? el("p", { class: "help", id: `${id}-help` }, of.help) : null),
    ),
    value: () => (control.checked ? "true" : ""),
    checked: () => control.checked,
    complain() {},
    focus: () => control.focus(),
    missing: () => "",
  };
}

/**
 * group puts fields under a heading of their own.
 *
 * @param {string} legend
 * @param {...(Node | string | null)} children
 */
export function group(legend, ...children) {
  return el("fieldset", {}, el("legend", {}, legend), children);
}

/**
 * @template [T=unknown]
 * @typedef {object} FormOf
 * @property {string} [keep] a name by which it is found again when the page is drawn anew, so that what was entered stays
 * @property {() => Field[]} fields those there are when it is sent
 * @property {(Node | string | null)[]} content
 * @property {string} submit what the button says
 * @property {boolean} [grave] what it does cannot be undone
 * @property {(Node | null)[]} [beside] further buttons
 * @property {() => Promise<T>} act sends it
 * @property {(made: T) => Promise<void> | void} [done] what comes after
 * @property {(failure: unknown) => void} [late] is told of a refusal that comes when the form is not on the page any more
 * @property {(failure: Refusal) => string} [explain] says more of a refusal; "" leaves it
 */

/**
 * form sends what is filled in, once at a time, and shows what was wrong with it.
 *
 * @template T
 * @param {FormOf<T>} of
 * @returns {HTMLFormElement}
 */
export function form(of) {
  const trouble = el("div", { class: "trouble", tabindex: "-1" });
  const button = el("button", { type: "submit", class: of.grave ? "grave" : "main" }, of.submit);
  let busy = false;
  let entered = 0; // how often something was
  const enter = () => {
    entered += 1;
    made.dataset.begun = "";
  };
  const setBusy = (/** @type {boolean} */ now) => {
    busy = now;
    made.setAttribute("aria-busy", String(now));
    if (now) button.setAttribute("aria-disabled", "true");
    else button.removeAttribute("aria-disabled");
  };
  const made = el(
    "form",
    {
      novalidate: true,
      autocomplete: "off",
      "data-keep": of.keep,
      input: enter,
      change: enter,
      submit: async (/** @type {SubmitEvent} */ event) => {
        event.preventDefault();
        if (busy) return;
        fill(trouble);
        const fields = of.fields();
        if (missing(fields)) return;
        setBusy(true);
        const sent = entered;
        try {
          const result = await of.act();
          if (entered === sent) delete made.dataset.begun;
          await of.done?.(result);
        } catch (failure) {
          if (of.late && !made.isConnected) of.late(failure);
          else refused(failure, fields, trouble, of.explain);
        } finally {
          setBusy(false);
        }
      },
    },
    of.content,
    trouble,
    el("div", { class: "buttons" }, button, of.beside ?? []),
  );
  return made;
}

/**
 * missing complains of what has to be filled in and is not.
 *
 * @param {Field[]} fields
 * @returns {boolean} whether something is missing
 */
function missing(fields) {
  const empty = fields.filter((field) => {
    const sentence = field.missing();
    field.complain(sentence);
    return sentence !== "";
  });
  empty[0]?.focus();
  return empty.length > 0;
}

/**
 * refused shows a refusal: what is about a field beside it, all of it before the
 * button.
 *
 * @param {unknown} failure
 * @param {Field[]} fields
 * @param {HTMLElement} trouble
 * @param {FormOf["explain"]} explain
 */
function refused(failure, fields, trouble, explain) {
  const refusal = asRefusal(failure);
  const elsewhere = [];
  let first = null;
  let beside = false; // whether the refusal itself stands beside a field
  for (const detail of refusal.details) {
    const about = fieldOf(detail.field ?? "", fields);
    about?.complain(detail.message);
    first ??= about;
    if (about && detail.message === refusal.message) beside = true;
    if (!about && detail.message !== refusal.message) elsewhere.push(detail.message);
  }
  fill(trouble, failureNodes(refusal, explain?.(refusal) ?? "", elsewhere, beside));
  if (first) first.focus();
  else trouble.focus();
}

/**
 * fieldOf is the field that a complaint is about: the one with the longest name
 * that the complaint's begins with.
 *
 * @param {string} name
 * @param {Field[]} fields
 * @returns {Field | null}
 */
function fieldOf(name, fields) {
  const about = fields.filter((f) => f.name !== "" && (name === f.name || name.startsWith(`${f.name}.`) || name.startsWith(`${f.name}[`)));
  return about.sort((a, b) => b.name.length - a.name.length)[0] ?? null;
}

/**
 * asRefusal takes what went wrong for a refusal; what is none is a mistake of the
 * dashboard's own.
 *
 * @param {unknown} failure
 * @returns {Refusal}
 */
export function asRefusal(failure) {
  if (failure instanceof Refusal) return failure;
  console.error(failure);
  return new Refusal(0, "Something went wrong in this page. Reload it and try again.");
}

/**
 * failureNodes say what went wrong, and under which id the service knows of it.
 *
 * @param {Refusal} refusal
 * @param {string} [more] a sentence of ours
 * @param {string[]} [elsewhere] further sentences of the service
 * @param {boolean} [beside] the refusal's own sentence is to be read elsewhere
 * @returns {HTMLElement}
 */
export function failureNodes(refusal, more = "", elsewhere = [], beside = false) {
  return el(
    "div",
    { class: "failure", role: "alert" },
    el("p", {}, beside ? "Not accepted: see above." : said(refusal.message)),
    elsewhere.length > 0 ? el("ul", {}, elsewhere.map((sentence) => el("li", {}, said(sentence)))) : null,
    more === "" ? null : el("p", {}, more),
    refusal.requestID === "" ? null : el("p", { class: "fine" }, "Request ", el("code", {}, said(refusal.requestID))),
  );
}

let given = 0;

/**
 * fresh is an id that no other element has.
 *
 * @param {string} what
 * @returns {string}
 */
export function fresh(what) {
  given += 1;
  return `${what}-${given}`;
}
