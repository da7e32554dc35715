// Runs the paste guard over the cases and samples that its input names, and
// prints what is not as it should be, a line each.

import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [, , module, input] = process.argv;
const { look, lookAsIs, mistake } = await import(pathToFileURL(module).href);
const { cases, samples, texts, wrapped } = JSON.parse(readFileSync(input, "utf8"));

for (const { name, provider, text, key = text, taken = [], doubt = "", level = "", vendor = "", back, api } of cases) {
  same(name, look(text, provider), { key, taken, doubt, level, vendor, ...(back && { back }) });
  if (back && api) console.log(`${name}: the API refuses what can be had back`);
}
for (const { provider, key } of samples) {
  for (const slug of [provider, "acme", "exa"]) {
    const seen = look(key, slug);
    if (seen.key !== key || seen.taken.length > 0) console.log(`${slug}: ${key} of ${provider} becomes ${seen.key}`);
    if (seen.level === "refuse") console.log(`${slug}: ${key} of ${provider} is refused: ${seen.doubt}`);
    if (slug === provider && seen.doubt === "unlike") console.log(`${provider}: ${key} is none of its keys`);
  }
}
for (const { provider, key, text } of wrapped) {
  const seen = look(text, provider);
  if (seen.key !== key || seen.taken.length === 0 || seen.level === "refuse") console.log(`${provider}: ${JSON.stringify(text)} becomes ${JSON.stringify(seen)}`);
}
for (const { text, code, like } of texts) {
  same(`mistake(${JSON.stringify(text)})`, mistake(text), code);
  for (const slug of Object.keys(like)) {
    const { doubt } = lookAsIs(text, slug);
    if (like[slug] && doubt === "unlike") console.log(`${slug}: ${JSON.stringify(text)} is no key, but Go says it is`);
    if (!like[slug] && text !== "" && (doubt === "" || doubt === "test_key")) console.log(`${slug}: ${JSON.stringify(text)} is a key, but Go says it is none`);
  }
}
// Of a text that is far too long nothing is looked at, and of any other so much.
for (const text of ["bearer ".repeat(10_000), "\n".repeat(40_000) + "sk-canary", '"'.repeat(50_000)]) {
  same(`${text.length} characters`, look(text, "openai"), { key: "", taken: [], doubt: "too_long", level: "refuse", vendor: "" });
  same(`${text.length} characters as they are`, lookAsIs(text, "openai").doubt, "too_long");
}
let passes = 0;
const { replace } = String.prototype;
String.prototype.replace = function (...of) {
  passes++;
  return replace.apply(this, of);
};
look("bearer ".repeat(4000), "openai");
String.prototype.replace = replace;
if (passes > 100) console.log(`${passes} passes over one text`);

function same(what, got, want) {
  const [a, b] = [JSON.stringify(got), JSON.stringify(want)];
  if (a !== b) console.log(`${what}:\n  got  ${a}\n  want ${b}`);
}
