// Editors of what a custom provider's definition is made of: its settings and
// its check. They are plain fields, so that the browser's own means work.

import { el, said } from "../dom.js";
import { choice, group, lines, text, tick } from "./forms.js";

/** @typedef {import("./api.js").Check} Check */
/** @typedef {import("./api.js").Condition} Condition */
/** @typedef {import("./api.js").ConfigField} ConfigField */
/** @typedef {import("./api.js").Rule} Rule */
/** @typedef {import("./forms.js").Field} Field */

/**
 * An Editor edits one value. fields are named after where the value stands in what
 * is sent, which is how the service names what it complains of.
 *
 * @template T
 * @typedef {{node: HTMLElement, fields: (at: string) => Field[], value: () => T}} Editor
 */

/**
 * named gives a field the name of its place.
 *
 * @param {Field} field
 * @param {string} at
 * @returns {Field}
 */
function named(field, at) {
  return { ...field, name: at };
}

/**
 * kept gives what was there for as long as nothing else was entered: the API can say
 * more than a form.
 *
 * @template T
 * @template {{value: () => T | null}} E
 * @param {T | null} now null: nothing was there
 * @param {E} editor
 * @returns {E}
 */
export function kept(now, editor) {
  const shown = JSON.stringify(editor.value());
  const value = () => {
    const entered = editor.value();
    return now !== null && JSON.stringify(entered) === shown ? now : entered;
  };
  return { ...editor, value };
}

/**
 * many edits a list of values.
 *
 * @template T
 * @param {{legend: string, one: string, help?: string, values: T[], most: number, make: (value: T | null) => Editor<T>}} of
 * @returns {Editor<T[]>}
 */
export function many(of) {
  /** @type {Editor<T>[]} */
  let editors = [];
  const list = el("div", { class: "many" });
  const entered = () => list.dispatchEvent(new Event("input", { bubbles: true }));
  const added = () => {
    append(null)?.querySelector("input, select, textarea")?.focus();
    entered();
  };
  const add = el("button", { type: "button", click: added }, `Add ${of.one}`);
  /** @param {T | null} value */
  const append = (value) => {
    const editor = kept(value, of.make(value));
    const remove = el(
      "button",
      {
        type: "button",
        click: () => {
          editors = editors.filter((e) => e !== editor);
          box.remove();
          show();
          add.focus();
          entered();
        },
      },
      `Remove this ${of.one}`,
    );
    const box = group(of.one[0]?.toUpperCase() + of.one.slice(1), editor.node, el("div", { class: "buttons" }, remove));
    editors.push(editor);
    list.append(box);
    show();
    return /** @type {{querySelector: (s: string) => HTMLElement | null}} */ (box);
  };
  const show = () => (add.hidden = editors.length >= of.most);
  of.values.forEach(append);
  return {
    node: group(of.legend, of.help ? el("p", { class: "help" }, of.help) : null, list, el("div", { class: "buttons" }, add)),
    fields: (at) => editors.flatMap((e, i) => e.fields(`${at}[${i}]`)),
    value: () => editors.map((e) => e.value()),
  };
}

const alphabets = {
  digits: "digits",
  lower_hex: "hexadecimal digits, lower case",
  upper_hex: "hexadecimal digits, upper case",
  hex: "hexadecimal digits",
  lower_letters: "lower case letters",
  upper_letters: "upper case letters",
  letters: "letters",
  lower_alphanumeric: "lower case letters and digits",
  upper_alphanumeric: "upper case letters and digits",
  alphanumeric: "letters and digits",
  base64: "characters of base64",
  base64url: "letters, digits, - and _",
  visible: "any visible characters",
};

/**
 * settings edits the settings that stand beside a key.
 *
 * @param {ConfigField[]} values
 */
export function settings(values) {
  return many({
    legend: "Settings beside the key",
    one: "setting",
    help: "What the provider needs besides the key and is no secret, such as a region or a host. Users are asked for it when they bring the key.",
    values,
    most: 20,
    make: setting,
  });
}

/**
 * @param {ConfigField | null} now
 * @returns {Editor<ConfigField>}
 */
function setting(now) {
  const f = {
    field: text({
      name: "",
      label: "Name of the setting",
      help: "What it is called in config and, in braces, in the check: lower case, such as region.",
      value: now?.field ?? "",
      required: true,
      code: true,
      max: 32,
    }),
    label: text({ name: "", label: "Label", help: "What users see.", value: now?.label ?? "", required: true, max: 60 }),
    description: text({ name: "", label: "What to enter", value: now?.description ?? "", required: true, max: 300 }),
    default: text({ name: "", label: "Default", help: "What holds when it is not given.", value: now?.default ?? "", code: true, max: 255 }),
    example: text({
      name: "",
      label: "Example",
      help: "Shown to whoever enters something of another form. Lists need none.",
      value: now?.example ?? "",
      code: true,
      max: 255,
    }),
  };
  const help = "The widget wants it. A key that comes without it by the API is stored all the same.";
  const required = tick({ name: "", label: "Required", help, checked: now?.required ?? false });
  const form = kept(formOf(now), valueForm(now));
  return {
    node: el("div", {}, f.field.node, f.label.node, f.description.node, required.node, form.node, f.default.node, f.example.node),
    fields: (at) => [named(form.fields(at)[0] ?? f.field, at), ...Object.entries(f).map(([name, field]) => named(field, `${at}.${name}`)), ...form.fields(at)],
    value: () => ({
      field: f.field.trimmed(),
      label: f.label.trimmed(),
      description: f.description.trimmed(),
      required: required.checked(),
      ...form.value(),
      ...some("default", f.default.trimmed()),
      ...some("example", f.example.trimmed()),
    }),
  };
}

/**
 * some is a member that is left out when it is empty.
 *
 * @template {string} K
 * @param {K} name
 * @param {string} value
 */
function some(name, value) {
  return /** @type {Partial<Record<K, string>>} */ (value === "" ? {} : { [name]: value });
}

/** @typedef {Pick<ConfigField, "options" | "format" | "shapes">} ValueForm */

/**
 * @param {ConfigField | null} now
 * @returns {ValueForm | null}
 */
function formOf(now) {
  if (now === null) return null;
  const { options, format, shapes } = now;
  return { ...(options && { options }), ...(format && { format }), ...(shapes && { shapes }) };
}

/**
 * valueForm edits which values a setting may have. A shape of several parts, which
 * the API can say and a form hardly, stays as it is until another is chosen.
 *
 * @param {ConfigField | null} now
 * @returns {Editor<ValueForm>}
 */
function valueForm(now) {
  const [shape, ...others] = now?.shapes ?? [];
  const single = others.length === 0 && !shape?.name && shape?.parts.length === 1 ? shape.parts[0] : undefined;
  const simple = single && single.alphabet && !single.groups && !single.optional ? single : undefined;
  const odd = now?.shapes && !simple ? now.shapes : null;
  const kind = choice({
    name: "",
    label: "Values",
    value: now?.options ? "options" : now?.format ? "format" : odd ? "odd" : "characters",
    options: [
      { value: "characters", label: "Characters of a kind" },
      { value: "options", label: "One of a list" },
      { value: "format", label: "The name of a public host" },
      ...(odd ? [{ value: "odd", label: "As it is now" }] : []),
    ],
  });
  const options = lines({
    name: "",
    label: "The list",
    help: "One in a line, the default first: the value, or value = what users see, with a blank on each side of the sign.",
    value: (now?.options ?? []).map((o) => `${o.value} = ${o.label}`).join("\n"),
    code: true,
  });
  const alphabet = choice({
    name: "",
    label: "Kind of characters",
    value: simple?.alphabet ?? "lower_alphanumeric",
    options: Object.entries(alphabets).map(([value, label]) => ({ value, label })),
  });
  const extra = text({ name: "", label: "Further characters", value: simple?.extra ?? "", code: true });
  const least = text({ name: "", label: "At least so many", value: number(simple?.length ?? simple?.min_length) });
  const most = text({ name: "", label: "At most so many", value: number(simple?.length ?? simple?.max_length) });
  const boxes = {
    characters: el("div", {}, alphabet.node, extra.node, least.node, most.node),
    options: options.node,
    format: el("p", { class: "help" }, "Without https:// and without a path."),
    odd: el("pre", { tabindex: "0" }, said(JSON.stringify(odd, null, 2))),
  };
  const part = () => ({
    alphabet: alphabet.value(),
    ...some("extra", extra.value()),
    ...counted("min_length", least.value()),
    ...counted("max_length", most.value()),
  });
  return {
    node: varied(kind, boxes),
    fields: (at) => {
      if (kind.value() === "options") return [named(options, `${at}.options`)];
      return kind.value() === "characters" ? [named(least, `${at}.shapes`)] : [named(kind, `${at}.format`)];
    },
    value: () => {
      if (kind.value() === "options") return { options: listed(options.value()) };
      if (kind.value() === "format") return { format: "hostname" };
      return { shapes: kind.value() === "odd" && odd ? odd : [{ parts: [part()] }] };
    },
  };
}

/**
 * listed are the options of a list. A value may hold any sign but a blank.
 *
 * @param {string} text
 */
function listed(text) {
  const rows = text.split("\n").map((line) => line.trim()).filter((line) => line !== "");
  return rows.map((line) => {
    const [, value = line, label = line] = /^(\S+)\s+=\s+(.+)$/.exec(line) ?? [];
    return { value, label };
  });
}

/** @param {number | undefined} n */
function number(n) {
  return n === undefined ? "" : String(n);
}

/**
 * @template {string} K
 * @param {K} name
 * @param {string} text
 */
function counted(name, text) {
  return /** @type {Partial<Record<K, number>>} */ (text.trim() === "" ? {} : { [name]: Number(text) });
}

/**
 * varied shows, below a choice, what belongs to the one that is chosen.
 *
 * @param {Field & {control: HTMLSelectElement}} kind
 * @param {Record<string, HTMLElement>} boxes
 */
function varied(kind, boxes) {
  const show = () => {
    for (const [name, box] of Object.entries(boxes)) box.hidden = kind.value() !== name;
  };
  kind.control.addEventListener("change", show);
  show();
  return el("div", {}, kind.node, Object.values(boxes));
}

/** Where a request can carry the key, with the template that is usual there. */
const placements = {
  header: { label: "In a header", template: "Bearer {key}", name: "Authorization" },
  basic: { label: "As user and password", template: "{key}:", name: "" },
  query: { label: "In a parameter of the URL", template: "{key}", name: "api_key" },
  path: { label: "Before the path of the URL", template: "/{key}", name: "" },
};

/**
 * check edits how a provider is asked whether a key works; its value is null
 * while there is none.
 *
 * @param {Check | null} now
 * @returns {Editor<Check | null>}
 */
export function check(now) {
  const help = "Ask the provider whether a key works, with a request that costs nothing, changes nothing and reads nothing private.";
  const on = tick({ name: "", label: "Check keys", help, checked: now !== null });
  const question = questionOf(now);
  const answer = answerOf(now);
  const inside = el("div", {}, question.node, answer.node);
  const show = () => (inside.hidden = !on.checked());
  on.control.addEventListener("change", show);
  if (now !== null) on.node.hidden = true; // a check can be changed, and not taken away
  show();
  /** @type {Editor<Check | null>} */
  const all = {
    node: group("Check", on.node, inside),
    fields: (at) => (on.checked() ? [...question.fields(at), ...answer.fields(at)] : []),
    value: () => (on.checked() ? { ...question.value(), ...answer.value() } : null),
  };
  return kept(now, all);
}

/**
 * questionOf edits what a provider is asked.
 *
 * @param {Check | null} now
 * @returns {Editor<Omit<Check, "valid" | "limited" | "invalid" | "when">>}
 */
function questionOf(now) {
  const url = text({
    name: "", label: "URL", value: now?.url ?? "", required: true, code: true, max: 1000,
    help: "https, of a public host by its name. {names} of settings are replaced by an account's values. " +
      "Its host is fixed with the first check, since stored keys are bound to it.",
  });
  const methods = ["GET", "POST"].map((value) => ({ value, label: value }));
  const method = choice({ name: "", label: "Method", value: now?.method ?? "GET", options: methods });
  const body = lines({
    name: "", label: "Body", value: now?.body ?? "", code: true, max: 2000,
    help: "With POST, sent as it stands. Nothing is replaced in it.",
  });
  const placement = placementOf(now);
  const headers = many({ legend: "Further headers", one: "header", values: Object.entries(now?.headers ?? {}), most: 10, make: header });
  const show = () => (body.node.hidden = method.value() !== "POST");
  method.control.addEventListener("change", show);
  show();
  return {
    node: el("div", {}, url.node, method.node, body.node, placement.node, headers.node),
    fields: (at) => [
      named(url, `${at}.url`), named(method, `${at}.method`), named(body, `${at}.body`),
      ...placement.fields(`${at}.placement`), ...headers.fields(`${at}.headers`),
    ],
    value: () => ({
      placement: placement.value(),
      method: method.value(),
      url: url.trimmed(),
      ...(headers.value().length > 0 && { headers: Object.fromEntries(headers.value()) }),
      ...(body.node.hidden ? {} : some("body", body.value())),
    }),
  };
}

/**
 * placementOf edits where the key goes.
 *
 * @param {Check | null} now
 * @returns {Editor<Check["placement"]>}
 */
function placementOf(now) {
  const places = Object.entries(placements).map(([value, { label }]) => ({ value, label }));
  const within = choice({ name: "", label: "Where the key goes", value: now?.placement.in ?? "header", options: places });
  const name = text({
    name: "", label: "Name of the header or parameter", value: now?.placement.name ?? placements.header.name, code: true, max: 64,
  });
  const template = text({
    name: "", label: "Template of the key", value: now?.placement.template ?? placements.header.template, required: true, code: true, max: 500,
    help: "Holds {key} once. For user and password with a colon between. Where the key goes is fixed with the first check, too.",
  });
  const show = () => (name.node.hidden = within.value() !== "header" && within.value() !== "query");
  within.control.addEventListener("change", () => {
    const usual = placements[/** @type {keyof typeof placements} */ (within.value())];
    template.control.value = usual.template;
    name.control.value = usual.name;
    show();
  });
  show();
  return {
    node: el("div", {}, within.node, name.node, template.node),
    fields: (at) => [named(within, at), named(name, `${at}.name`), named(template, `${at}.template`)],
    value: () => ({ in: within.value(), ...(name.node.hidden ? {} : some("name", name.trimmed())), template: template.value() }),
  };
}

/**
 * answerOf edits what a provider's answer says of a key.
 *
 * @param {Check | null} now
 * @returns {Editor<Pick<Check, "valid" | "limited" | "invalid" | "when">>}
 */
function answerOf(now) {
  const f = {
    valid: statuses("Statuses of a key that works", now ? now.valid : [200]),
    limited: statuses("Statuses of a key that works, but may not ask this", now?.limited),
    invalid: statuses("Statuses of a bad or revoked key", now ? now.invalid : [401]),
  };
  const rules = many({
    legend: "Rules about the answer's body",
    one: "rule",
    help: "Asked in order, before the statuses, where a status alone says too little. What no rule and no status speaks of says nothing about a key.",
    values: now?.when ?? [],
    most: 20,
    make: rule,
  });
  return {
    node: el("div", {}, f.valid.node, f.limited.node, f.invalid.node, rules.node),
    fields: (at) => [...Object.entries(f).map(([member, field]) => named(field, `${at}.${member}`)), ...rules.fields(`${at}.when`)],
    value: () => ({
      ...codes("valid", f.valid.value()),
      ...codes("limited", f.limited.value()),
      ...codes("invalid", f.invalid.value()),
      ...(rules.value().length > 0 && { when: rules.value() }),
    }),
  };
}

/**
 * @param {string} label
 * @param {number[] | undefined} now
 */
function statuses(label, now) {
  return text({ name: "", label, help: "Numbers, with commas between.", value: now?.join(", ") ?? "", code: true });
}

/**
 * @template {string} K
 * @param {K} name
 * @param {string} text
 */
function codes(name, text) {
  const all = text.split(/[\s,]+/).filter((n) => n !== "").map(Number);
  return /** @type {Partial<Record<K, number[]>>} */ (all.length === 0 ? {} : { [name]: all });
}

/**
 * @param {[string, string] | null} now
 * @returns {Editor<[string, string]>}
 */
function header(now) {
  const name = text({ name: "", label: "Header", value: now?.[0] ?? "", required: true, code: true });
  const value = text({ name: "", label: "Value", value: now?.[1] ?? "", required: true, code: true, max: 500 });
  return {
    node: el("div", {}, name.node, value.node),
    fields: (at) => [named(name, at), named(value, `${at}.value`)],
    value: () => [name.trimmed(), value.value()],
  };
}

/**
 * @param {Rule | null} now
 * @returns {Editor<Rule>}
 */
function rule(now) {
  const status = text({ name: "", label: "When the status is", value: number(now?.status) || "401", required: true, code: true });
  const verdict = choice({
    name: "",
    label: "and the body is as said here, the key",
    value: now?.verdict ?? "invalid",
    options: [
      { value: "valid", label: "works" },
      { value: "limited", label: "works, but may not ask this" },
      { value: "invalid", label: "is bad or revoked" },
    ],
  });
  const all = many({ legend: "All of these hold", one: "condition", values: now?.all ?? [{ path: "error.code", equals: "" }], most: 5, make: condition });
  return {
    node: el("div", {}, status.node, verdict.node, all.node),
    fields: (at) => [named(status, `${at}.status`), named(verdict, `${at}.verdict`), ...all.fields(`${at}.all`)],
    value: () => ({ status: Number(status.value()), all: all.value(), verdict: verdict.value() }),
  };
}

/**
 * condition edits one. Texts that do not fit into one line each stay as they are until
 * another test is chosen.
 *
 * @param {Condition | null} now
 * @returns {Editor<Condition>}
 */
function condition(now) {
  const odd = now?.one_of?.some((text) => text === "" || /[\r\n]/.test(text)) ? now.one_of : null;
  const path = text({
    name: "",
    label: "Where in the body",
    help: "Names with dots between; name[] is each element of a list.",
    value: now?.path ?? "",
    required: true,
    code: true,
    max: 200,
  });
  const test = choice({
    name: "",
    label: "The value there",
    value: odd ? "odd" : testOf(now),
    options: [
      { value: "text", label: "is this text" },
      { value: "number", label: "is this number" },
      { value: "true", label: "is true" },
      { value: "false", label: "is false" },
      { value: "one_of", label: "is one of these texts" },
      { value: "starts_with", label: "begins with this text" },
      { value: "exists", label: "is there" },
      ...(odd ? [{ value: "odd", label: "As it is now" }] : []),
    ],
  });
  const value = lines({
    name: "",
    label: "Text, number, or texts one in a line",
    value: odd ? "" : now?.one_of?.join("\n") ?? now?.starts_with ?? String(now?.equals ?? ""),
    rows: 1,
    code: true,
  });
  const shown = el("pre", { tabindex: "0" }, said(JSON.stringify(odd, null, 2)));
  const show = () => {
    value.node.hidden = ["true", "false", "exists", "odd"].includes(test.value());
    shown.hidden = test.value() !== "odd";
  };
  test.control.addEventListener("change", show);
  show();
  return {
    node: el("div", {}, path.node, test.node, value.node, shown),
    fields: (at) => [named(value, at), named(path, `${at}.path`), named(test, `${at}.exists`)],
    value: () => ({ path: path.trimmed(), ...(odd && test.value() === "odd" ? { one_of: odd } : tested(test.value(), value.value())) }),
  };
}

/**
 * pairs edits names with values, as metadata has them.
 *
 * @param {{legend: string, one: string, help: string, values: Record<string, string>}} of
 * @returns {Editor<Record<string, string>>}
 */
export function pairs({ values, ...of }) {
  const all = many({ ...of, values: Object.entries(values), most: 64, make: pair });
  return { ...all, value: () => Object.fromEntries(all.value()) };
}

/**
 * @param {[string, string] | null} now
 * @returns {Editor<[string, string]>}
 */
function pair(now) {
  const name = text({ name: "", label: "Name", value: now?.[0] ?? "", required: true, max: 64 });
  const value = lines({ name: "", label: "Value", value: now?.[1] ?? "", rows: 1 });
  return {
    node: el("div", {}, name.node, value.node),
    fields: (at) => [named(name, `${at}.name`), named(value, at)],
    value: () => [name.trimmed(), value.value()],
  };
}

/** @param {Condition | null} now */
function testOf(now) {
  if (now?.one_of) return "one_of";
  if (now?.starts_with !== undefined) return "starts_with";
  if (now?.exists) return "exists";
  if (typeof now?.equals === "boolean") return String(now.equals);
  return typeof now?.equals === "number" ? "number" : "text";
}

/**
 * @param {string} test
 * @param {string} value
 * @returns {Omit<Condition, "path">}
 */
function tested(test, value) {
  switch (test) {
    case "number":
      return { equals: Number(value) };
    case "true":
    case "false":
      return { equals: test === "true" };
    case "one_of":
      return { one_of: value.split("\n").filter((line) => line !== "") };
    case "starts_with":
      return { starts_with: value };
    case "exists":
      return { exists: true };
    default:
      return { equals: value };
  }
}

/**
 * policy edits how often keys are checked and what a refusal means.
 *
 * @param {{verify_on_save: string, on_invalid: string, check_interval: string}} now
 * @returns {Editor<Record<string, string>>}
 */
export function policy(now) {
  const verify = choice({
    name: "",
    label: "When a key is saved",
    value: now.verify_on_save,
    options: [
      { value: "off", label: "store it unasked" },
      { value: "warn", label: "ask the provider, store it, and tell when it is refused" },
      { value: "require", label: "ask the provider, and store no key that is refused" },
    ],
  });
  const invalid = choice({
    name: "",
    label: "When its provider refuses a stored key",
    value: now.on_invalid,
    options: [
      { value: "refuse", label: "vend nothing until there is a new key" },
      { value: "advise", label: "vend it all the same, and tell" },
    ],
  });
  const interval = text({
    name: "",
    label: "Checks every",
    help: "off, or minutes or hours such as 90m or 24h, from 15m to 720h.",
    value: now.check_interval,
    required: true,
    code: true,
  });
  return {
    node: el("div", {}, verify.node, invalid.node, interval.node),
    fields: () => [named(verify, "verify_on_save"), named(invalid, "on_invalid"), named(interval, "check_interval")],
    value: () => ({ verify_on_save: verify.value(), on_invalid: invalid.value(), check_interval: interval.trimmed() }),
  };
}

/**
 * asked shows a check that cannot be changed here, in words.
 *
 * @param {Check} check
 */
export function asked(check) {
  return el("p", {}, "A key is checked with ", el("code", {}, said(`${check.method} ${check.url}`)), ".");
}

