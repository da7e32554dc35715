// The widget as a page of its own, for an iframe of another site.
//
// What is behind the # of the address says how it is used, and is taken away at once;
// widget.md, in package web, tells of that and of the messages. A key is in none.

import { el } from "../dom.js";
import "../widget/element.js";
import { claims } from "../widget/session.js";

/** How long the site has to send a token. */
const PATIENCE = 10_000;

/** What a dialog leaves free round itself, its border included, in CSS pixels. */
const AROUND = 24;

/** @type {((token: string) => void) | undefined} */
let waiting; // for a token

/** What the page says where it cannot show the widget. */
const SAYS = {
  alone: "This page works inside the page of an app alone. Open the app that you use, and look for your connections there.",
  unnamed: "The page that frames this one has to name itself behind the # of the address: #origin=https://app.example.com",
  silent: "The page that frames this one has sent no token. Its own origin has to be the one behind the #: #origin=https://app.example.com",
  another: "This token is another tenant's: the address of this page has to name the tenant that the token belongs to.",
};

const asked = new URLSearchParams(location.hash.slice(1));
history.replaceState(null, "", location.pathname + location.search);

const site = originOf(asked.get("origin"));
let token = asked.get("token") ?? ""; // the newest that the site has given
let fresh = token !== ""; // nobody has taken it
const pipes = /** @type {import("../widget/element.js").KeyvendPipes} */ (document.createElement("keyvend-pipes"));
const main = document.createElement("main");

const page = new CSSStyleSheet();
page.replaceSync("body { margin: 0; font: 1rem/1.5 system-ui, sans-serif } main > :not(keyvend-pipes) { margin: 1rem }");
document.adoptedStyleSheets = [page];
if (asked.get("dir") === "rtl") document.documentElement.dir = "rtl";
document.body.append(main);
begin();

/** begin shows the widget to whoever came here by way of an app. */
function begin() {
  // A link could show people a widget that is somebody else's, and take their keys.
  if (parent === window) return say(SAYS.alone);
  if (!site && !token) return say(SAYS.unnamed);
  if (token && !ours(token)) return say(SAYS.another);
  furnish();
  if (site) converse();
  else pipes.authToken = token;
  main.append(pipes);
}

function furnish() {
  for (const name of ["theme", "locale"]) {
    const value = asked.get(name);
    if (value) pipes.setAttribute(name, value);
  }
  pipes.setAttribute("heading-level", "1");
}

/** converse speaks with the site that frames this page. */
function converse() {
  pipes.authToken = needed;
  addEventListener("message", heard);
  measure(pipes);
  for (const type of ["keyvend-connected", "keyvend-disconnected", "keyvend-expired"]) {
    pipes.addEventListener(type, (event) => tell({ type, detail: /** @type {CustomEvent} */ (event).detail }));
  }
}

/**
 * say says something in place of the widget.
 *
 * @param {string} words
 */
function say(words) {
  main.replaceChildren(el("h1", {}, document.title), el("p", {}, words));
}

/**
 * ours tells whether a token is of the tenant whose page this is: only the pages
 * that it names may frame it.
 *
 * @param {string} token
 */
function ours(token) {
  return claims(token)["tenant"] === location.pathname.split("/")[2];
}

/**
 * needed is the token behind the #, then another, or the same when the site sends none.
 *
 * @returns {string | Promise<string>}
 */
function needed() {
  if (fresh) {
    fresh = false;
    return token;
  }
  return new Promise((resolve) => {
    waiting = resolve;
    setTimeout(() => {
      resolve(token);
      if (!token) say(SAYS.silent);
    }, PATIENCE);
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
  if (data?.type === "keyvend:token" && typeof data.token === "string") taken(data.token);
  if (data?.type === "keyvend:texts") pipes.texts = data.texts;
}

/** @param {string} sent */
function taken(sent) {
  token = sent;
  if (ours(sent)) waiting?.(sent);
  else say(SAYS.another);
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
