// The page of a product: the official widget, unmodified, with another base URL.
import { Pipes, PipesAdmin, WorkOsWidgets } from "@workos-inc/widgets";
import { createRoot } from "react-dom/client";
import "@radix-ui/themes/styles.css";
import "@workos-inc/widgets/styles.css";

const keyvend = new URL(document.body.dataset.keyvend);
const isAdmin = location.pathname === "/admin";

// The product's backend mints tokens, each time that the widget asks for one: for
// whom, the page's query says.
async function authToken() {
  const answer = await fetch("/token" + location.search, { method: "POST" });
  return await answer.text();
}

createRoot(document.getElementById("widget")).render(
  <WorkOsWidgets apiHostname={keyvend.hostname} port={keyvend.port} https={keyvend.protocol === "https:"}>
    {isAdmin ? <PipesAdmin authToken={authToken} /> : <Pipes authToken={authToken} />}
  </WorkOsWidgets>,
);
