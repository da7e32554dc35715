// What the API keys are called that did something.

/** The most pages of API keys that are read to find it out. */
const most = 10;

/**
 * keyNames tells what API keys are called, "" of an id that is not found.
 *
 * @param {import("./frame.js").Context} context
 * @param {string[]} ids
 * @param {Map<string, string>} [names] what is known already, which grows
 * @returns {Promise<Map<string, string>>}
 */
export async function keyNames({ client }, ids, names = new Map()) {
  let after = null;
  for (let read = 0; read < most && ids.some((id) => !names.has(id)); read += 1) {
    const page = await client.apiKeys({ limit: 100, after });
    for (const { id, name } of page.data) names.set(id, name);
    after = page.list_metadata.after;
    if (after === null) break;
  }
  for (const id of ids) if (!names.has(id)) names.set(id, "");
  return names;
}
