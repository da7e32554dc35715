// The tenant's settings, and what stops everything.

import { el } from "../../dom.js";
import { deed } from "../controls.js";
import { ask } from "../dialogs.js";
import { form, lines } from "../forms.js";
import { freezing } from "../freezing.js";
import { at } from "../words.js";

/** @typedef {import("../frame.js").Context} Context */
/** @typedef {import("../frame.js").Page} Page */

/**
 * @param {Context} context
 * @returns {Promise<Page>}
 */
export async function settings(context) {
  const [now, frozen] = await Promise.all([context.client.settings(), context.client.freeze(null)]);
  return {
    title: "Settings",
    content: [
      el("section", {}, el("h2", {}, "Allowed origins"), origins(context, now)),
      el(
        "section",
        {},
        el("h2", {}, "Sessions"),
        el(
          "p",
          {},
          "Signing out forgets the session in that tab alone; a copy of it holds until its hour is over. Signing everyone ",
          "out ends all sessions of the dashboard at once, this one included, and all tokens of the widget. ",
          "API keys go on working, those too that were issued in the dashboard: after a theft look through them, and ",
          "revoke what you do not know.",
        ),
        now.sessions_not_before === null ? null : el("p", {}, "Sessions from before ", at(now.sessions_not_before), " are refused."),
        el("div", { class: "buttons" }, deed(context, { label: "Sign everyone out", grave: true, act: () => endSessions(context) })),
      ),
      el("section", {}, el("h2", {}, "Freeze everything"), freezing(context, { what: null, name: "the whole tenant", frozen })),
    ],
  };
}

/**
 * @param {Context} context
 * @param {import("../api.js").Settings} now
 */
function origins(context, now) {
  const field = lines({
    name: "allowed_origins",
    label: "Origins, one in a line",
    help: "Pages that may show the widget, such as https://app.example.com: scheme and host, without a path. http is for this machine only.",
    value: now.allowed_origins.join("\n"),
    rows: 5,
    code: true,
  });
  return form({
    keep: "origins",
    late: context.fail,
    fields: () => [field],
    content: [
      now.allowed_origins.length === 0
        ? el(
          "p",
          { class: "empty" },
          "No origin is listed yet: the widget works on no page but, where keyvend runs on a laptop, on those of this laptop. ",
          "Write down where your product runs.",
        )
        : null,
      field.node,
    ],
    submit: "Save origins",
    act: async () => {
      const allowed_origins = field.value().split("\n").map((line) => line.trim()).filter((line) => line !== "");
      await context.client.changeSettings({ allowed_origins });
    },
    done: () => context.again("The origins are saved."),
  });
}

/** @param {Context} context */
async function endSessions(context) {
  const done = await ask(context, {
    title: "Sign everyone out?",
    content: [el("p", {}, "Everyone has to sign in again, and pages with the widget have to get a new token.")],
    submit: "Sign everyone out",
    grave: true,
    act: async () => {
      await context.client.endSessions();
    },
  });
  if (done) context.signOut();
}
