// How the widget shows a provider to users, for whoever writes its description.

import { el, fill, plain, said } from "../dom.js";

/**
 * preview draws a provider as users see it before they bring a key.
 *
 * @param {{name: () => string, description: () => string, hint?: () => string}} of
 * @returns {{node: HTMLElement, draw: () => void}}
 */
export function preview(of) {
  const inside = el("div", { class: "widget" });
  const draw = () => {
    const name = of.name() || "Your provider";
    const description = of.description().trim();
    const hint = of.hint?.() ?? "";
    fill(
      inside,
      el(
        "div",
        { class: "widget-row" },
        el("span", { class: "initial", "aria-hidden": "true" }, [...name][0]?.toUpperCase()),
        el("div", {}, el("strong", {}, said(name)), el("p", {}, "Not connected")),
      ),
      description === ""
        ? el("p", { class: "fine" }, "Without a description users see the name alone.")
        : el("p", { class: "described", dir: "auto" }, plain(description)),
      hint === "" ? null : el("p", { class: "fine" }, said(hint)),
    );
  };
  draw();
  return { node: el("figure", { class: "preview" }, el("figcaption", {}, "What users see in the widget"), inside), draw };
}
