// The widget as a page of its own, for an iframe of another site.
//
// What is behind the # of the address says how it is used, and is taken away at
// once:
//
//   #origin=https://app.example   the site that frames this page, and whom it speaks
//                                 to: nobody else is heard, and nobody else is told
//   #token=…                      a widget token, where there is no such site
//   &theme=dark &dir=rtl &locale=de-DE
//
// Messages, all of the form {type, …}; a key is in none of them:
//
//   from here    keyvend:token-needed    send a token: at the beginning, and whenever
//                                        the last one ends
//                keyvend:height          {height} in CSS pixels that the frame takes to
//                                        show all there is, what is open included
//                keyvend-connected, keyvend-disconnected, keyvend-expired
//                                        {detail}, as the element tells them
//   to here      keyvend:token           {token}
//                keyvend:texts           {texts}

import "../widget/element.js";

/** How long the site has to send a token. */
const PATIENCE = 20_000;

/** What a dialog leaves free round itself, its border included, in CSS pixels. */
const AROUND = 24;

/** @type {((token: string) => void) | undefined} */
let waiting; // for a token

const asked = new URLSearchParams(location.hash.slice(1));
history.replaceState(null, "", location.pathname + location.search);

const site = originOf(asked.get("origin"));
const pipes = /** @type {import("../widget/element.js").KeyvendPipes} */ (document.createElement("keyvend-pipes"));

for (const name of ["theme", "locale"]) {
  const value = asked.get(name);
  if (value) pipes.setAttribute(name, value);
}
if (asked.get("dir") === "rtl") document.documentElement.dir = "rtl";

const page = new CSSStyleSheet();
page.replaceSync("body { margin: 0 }");
document.adoptedStyleSheets = [page];

if (site) {
  pipes.authToken = needed;
  addEventListener("message", heard);
  measure(pipes);
  for (const type of ["keyvend-connected", "keyvend-disconnected", "keyvend-expired"]) {
    pipes.addEventListener(type, (event) => tell({ type, detail: /** @type {CustomEvent} */ (event).detail }));
  }
} else {
  pipes.authToken = asked.get("token") ?? "";
}
pipes.setAttribute("heading-level", "1");
const main = document.createElement("main");
main.append(pipes);
document.body.append(main);

/** @returns {Promise<string>} */
function needed() {
  return new Promise((resolve, reject) => {
    waiting = resolve;
    setTimeout(() => reject(new Error("keyvend: the site sent no token")), PATIENCE);
    tell({ type: "keyvend:token-needed" });
  });
}

/**
 * measure tells the height of the element, or of a dialog that is higher: that lies
 * over the page, and has no more room than the frame gives it.
 *
 * @param {HTMLElement} element
 */
function measure(element) {
  let told = 0;
  const sizes = new ResizeObserver(() => {
    const open = element.shadowRoot?.querySelector("dialog");
    const height = Math.ceil(Math.max(element.offsetHeight, open ? open.scrollHeight + AROUND : 0));
    if (height !== told) tell({ type: "keyvend:height", height: (told = height) });
  });
  const all = () => {
    sizes.disconnect();
    for (const part of [element, ...(element.shadowRoot?.querySelectorAll("dialog > *") ?? [])]) sizes.observe(part);
  };
  if (element.shadowRoot) new MutationObserver(all).observe(element.shadowRoot, { childList: true });
  all();
}

/** @param {MessageEvent} message */
function heard({ origin, source, data }) {
  if (origin !== site || source !== parent) return;
  if (data?.type === "keyvend:token" && typeof data.token === "string") waiting?.(data.token);
  if (data?.type === "keyvend:texts") pipes.texts = data.texts;
}

/** @param {object} message */
function tell(message) {
  parent.postMessage(message, site);
}

/**
 * originOf is an origin in its one spelling, "" for what is none.
 *
 * @param {string | null} text
 */
function originOf(text) {
  try {
    const url = new URL(text ?? "");
    return url.origin === text && url.protocol.startsWith("http") ? text : "";
  } catch {
    return "";
  }
}
