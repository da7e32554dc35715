// The product's page: it gives the widget its tokens, and has its backend do what a
// product does.

const pipes = /** @type {any} */ (document.querySelector("keyvend-pipes"));
const news = /** @type {HTMLElement} */ (document.getElementById("news"));

/**
 * backend asks the product's backend.
 *
 * @param {string} what
 * @param {object} [body]
 */
async function backend(what, body = {}) {
  const answer = await fetch(what, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
  if (!answer.ok) throw new Error(await answer.text());
  return answer.json();
}

pipes.authToken = async () => (await backend("token")).token;

for (const button of /** @type {NodeListOf<HTMLButtonElement>} */ (document.querySelectorAll("[data-copy]"))) {
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(button.dataset["copy"] ?? "");
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy"), 2000);
  });
}

document.getElementById("dashboard")?.addEventListener("click", async () => {
  try {
    location.assign((await backend("dashboard")).link); // with a key behind the #
  } catch (failure) {
    news.textContent = String(failure);
  }
});

for (const button of /** @type {NodeListOf<HTMLButtonElement>} */ (document.querySelectorAll("[data-do]"))) {
  button.addEventListener("click", async () => {
    try {
      news.textContent = (await backend(button.dataset["do"] ?? "", { slug: button.dataset["slug"] })).message;
    } catch (failure) {
      news.textContent = String(failure);
    }
    follow();
  });
}

/** @type {ReturnType<typeof setInterval> | undefined} */
let following;

/** follow shows what becomes of it, for some seconds. */
function follow() {
  clearInterval(following);
  let left = 15;
  following = setInterval(() => {
    pipes.reload();
    if (--left === 0) clearInterval(following);
  }, 1000);
}
