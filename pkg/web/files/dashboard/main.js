// The dashboard: signs in, shows pages, signs out.

import { Client, Refusal, signIn } from "./api.js";
import { copied } from "./controls.js";
import { ask } from "./dialogs.js";
import { el, fill } from "../dom.js";
import { form, text } from "./forms.js";
import { frame } from "./frame.js";
import { forget, keep, kept, keyInAddress } from "./session.js";
import { hour } from "./words.js";

/** @typedef {import("./api.js").Session} Session */

/** How long before its end a session says that it ends. */
const warning = 5 * 60_000;

const root = /** @type {HTMLElement} */ (document.getElementById("dashboard"));

/** @typedef {{end: () => void, fail: (failure: unknown) => void}} Shown a session: what ends it, and what tells of a failure in it */

/** @type {Shown | null} */
let shown = null;

let links = 0; // with a key that were followed: the newest counts

addEventListener("hashchange", byLink);
if (!byLink()) start();

function start() {
  const session = kept();
  if (session) begin(session, false);
  else signInPage();
}

/**
 * byLink follows a link with a key in it. Where somebody is signed in he stays where
 * he is until it is known that the key signs in: anybody can make such a link.
 *
 * @param {HashChangeEvent} [event]
 * @returns {boolean} whether the address is one
 */
function byLink(event) {
  const key = keyInAddress();
  if (key === "") return false;
  if (shown && event) {
    history.replaceState(null, "", event.oldURL);
    event.stopImmediatePropagation();
  }
  void signInByLink(key);
  return true;
}

/** @param {string} key */
async function signInByLink(key) {
  const before = shown;
  const link = (links += 1);
  if (!before) fill(root, el("main", { class: "alone" }, el("p", {}, "Signing in…")));
  const late = () => link !== links || shown !== before;
  try {
    const session = await signIn(key);
    if (late()) return;
    before?.end();
    history.replaceState(null, "", location.pathname);
    begin(session);
  } catch (failure) {
    if (!late()) notByLink(failure instanceof Refusal ? failure : new Refusal(0, ""));
  }
}

/**
 * notByLink says why a link does not sign in, to somebody who is signed in as well.
 *
 * @param {Refusal} refusal
 */
function notByLink({ status, message, requestID }) {
  const words = `The link's key does not sign in. ${message}`;
  const session = kept();
  if (!shown && session) begin(session, false);
  if (shown) shown.fail(new Refusal(status, `${words} You stay signed in.`, { requestID }));
  else signInPage(words);
}

/** @param {string} [words] why one has to sign in */
function signInPage(words = "") {
  forget();
  document.title = "Sign in · keyvend";
  const key = keyField();
  fill(
    root,
    el(
      "main",
      { class: "alone" },
      el("h1", {}, "Sign in to keyvend"),
      words === "" ? null : el("p", { role: "status" }, words),
      form({
        fields: () => [key],
        content: [key.node],
        submit: "Sign in",
        explain,
        act: () => signIn(taken(key)),
        done: (session) => {
          if (key.node.isConnected) begin(session);
        },
      }),
      el("h2", {}, "No such key yet?"),
      el("p", {}, "An operator issues one, for a tenant that keyvend knows:"),
      copied("the operator's command", 'go run ./infra/operator issue-api-key TENANT "dashboard" manage'),
    ),
  );
  if (words !== "") key.focus(); // what had the focus is gone
}

function keyField() {
  return text({
    name: "key",
    label: "API key",
    type: "password",
    required: true,
    code: true,
    help: "One with the scope manage and without vend. It is used once, to begin a session of an hour at most, and kept nowhere.",
  });
}

/**
 * taken takes the key out of its field.
 *
 * @param {ReturnType<typeof keyField>} field
 */
function taken(field) {
  const key = field.value().trim();
  field.control.value = "";
  return key;
}

/** @param {Refusal} refusal */
function explain(refusal) {
  if (refusal.status === 401) return "This is not an API key of this keyvend, or it was revoked or has expired.";
  if (refusal.code === "insufficient_scope") return "The dashboard needs a key with the scope manage.";
  return "";
}

/**
 * begin shows the dashboard in a session, until it is signed out of.
 *
 * @param {Session} session
 * @param {boolean} [entered] whether somebody has just signed in
 */
function begin(session, entered = true) {
  keep(session);
  const life = new AbortController();
  const { signal } = life;
  const signOut = (words = "You are signed out.") => {
    if (signal.aborted) return; // another session is shown
    end(life);
    if (location.hash !== "") history.replaceState(null, "", location.pathname);
    signInPage(words);
  };
  const ending = endingOf(signal, () => void client.renew().catch(() => {}));
  const renew = renewal(session.tenant_id, signal, () => signOut("Your session has ended."), (next) => {
    keep(next);
    ending.watch(next.expires_at);
  });
  const client = new Client(session.token, renew);
  ending.watch(session.expires_at);
  const fail = frame(root, { client, session, signal, signOut: () => signOut(), entered });
  shown = { end: () => end(life), fail };
  root.prepend(ending.node);
}

/**
 * end takes all away that a session has on the page.
 *
 * @param {AbortController} life
 */
function end(life) {
  shown = null;
  life.abort();
  forget();
  for (const open of document.querySelectorAll("dialog")) open.close();
  document.documentElement.classList.remove("ended");
}

/**
 * renewal is what gets the token of another session, once for all who ask for one at
 * the same time.
 *
 * @param {string} tenant
 * @param {AbortSignal} signal ends when nobody asks for anything any more
 * @param {() => void} giveUp
 * @param {(next: Session) => void} take
 * @returns {() => Promise<string>}
 */
function renewal(tenant, signal, giveUp, take) {
  /** @type {Promise<string> | null} */
  let renewing = null;
  return async () => {
    if (signal.aborted) throw new Refusal(401, "You are signed out."); // a late answer asks for nothing
    renewing ??= another(tenant, signal, giveUp)
      .then((next) => {
        take(next);
        return next.token;
      })
      .finally(() => (renewing = null));
    return renewing;
  };
}

/**
 * endingOf says that a session ends soon, and asks for another one when it does.
 *
 * @param {AbortSignal} signal
 * @param {() => void} renew
 */
function endingOf(signal, renew) {
  const node = el("div", { class: "ending", role: "status" });
  /** @type {ReturnType<typeof setTimeout>[]} */
  let timers = [];
  /** @param {string} end when it is */
  const watch = (end) => {
    timers.forEach(clearTimeout);
    fill(node);
    const left = Date.parse(end) - Date.now();
    const warn = () => {
      fill(node, el("p", {}, `This session ends at ${hour(end)}. `), el("button", { type: "button", click: renew }, "Sign in again"));
    };
    timers = [setTimeout(warn, Math.max(left - warning, 0)), setTimeout(renew, Math.max(left, 0))];
  };
  signal.addEventListener("abort", () => timers.forEach(clearTimeout));
  return { node, watch };
}

/**
 * another is a new session of the same tenant, once somebody has signed in. What
 * is on the page is out of sight until then, and there again afterwards.
 *
 * @param {string} tenant
 * @param {AbortSignal} signal ends when the session that it follows was signed out of
 * @param {() => void} giveUp
 * @returns {Promise<Session>}
 */
async function another(tenant, signal, giveUp) {
  /** @type {Session | null} */
  let next = null;
  const key = keyField();
  document.documentElement.classList.add("ended");
  const done = await ask(null, {
    title: "Sign in again",
    content: [el("p", {}, "The session ends or has ended. Nothing on the page is lost."), key.node],
    fields: [key],
    submit: "Sign in",
    cancel: "Sign out",
    explain,
    act: async () => {
      const made = await signIn(taken(key));
      if (!key.node.isConnected) throw new Refusal(401, "You are signed out."); // meanwhile
      if (made.tenant_id !== tenant) throw new Refusal(403, "This API key is another tenant's. Sign out first to go there.");
      next = made;
    },
  });
  if (!done || !next || signal.aborted) {
    giveUp();
    throw new Refusal(401, "You are signed out.");
  }
  document.documentElement.classList.remove("ended");
  return next;
}
