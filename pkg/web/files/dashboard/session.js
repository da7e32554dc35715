// The session of this tab. The API key that it was made of is kept nowhere.

/** @typedef {import("./api.js").Session} Session */

const place = "keyvend.session";

/**
 * kept is the session of this tab, null when there is none or it has ended.
 *
 * It lies in sessionStorage, so that a reload or a link that is followed in this
 * tab does not ask for an API key anew: people would have to keep the key at
 * hand, where it is worse off. Script that could read it here could as well make
 * requests with one in memory; it ends with the tab, after an hour at the latest,
 * and never vends.
 *
 * @returns {Session | null}
 */
export function kept() {
  const text = sessionStorage.getItem(place);
  if (text === null) return null;
  try {
    const session = JSON.parse(text);
    return typeof session.token === "string" && Date.parse(session.expires_at) > Date.now() ? session : null;
  } catch {
    return null;
  }
}

/** @param {Session} session */
export function keep(session) {
  sessionStorage.setItem(place, JSON.stringify(session));
}

export function forget() {
  sessionStorage.removeItem(place);
}

/**
 * keyInAddress takes an API key out of the page's address, where a link that
 * keyvend printed on this machine has it, and takes the address back before
 * anything else can see it. From elsewhere no such link is followed: it could
 * sign people in to a tenant that is not theirs.
 *
 * @param {{hash: string, hostname: string, pathname: string}} [address]
 * @returns {string} "" when there is none
 */
export function keyInAddress(address = location) {
  const found = /^#key=(.*)$/.exec(address.hash);
  if (!found) return "";
  history.replaceState(null, "", address.pathname);
  const here = ["localhost", "127.0.0.1", "[::1]"].includes(address.hostname);
  return here ? (found[1] ?? "") : "";
}
