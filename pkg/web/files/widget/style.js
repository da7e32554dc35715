// How the widget looks. widget.md, in package web, tells of the custom properties that
// a page sets on the element.

const CSS = `
:host {
  color-scheme: light dark;
  display: block;
  container-type: inline-size;
  --text: var(--keyvend-text, light-dark(#1a1d21, #e8eaed));
  --muted: var(--keyvend-muted, light-dark(#565d66, #a7aeb8));
  --background: var(--keyvend-background, light-dark(#fff, #17191d));
  --border: var(--keyvend-border, light-dark(#8b929c, #6b727c));
  --line: color-mix(in srgb, var(--border) 40%, transparent);
  --accent: var(--keyvend-accent, light-dark(#1d4fd7, #9db8ff));
  --on-accent: var(--keyvend-on-accent, light-dark(#fff, #10131a));
  --focus: var(--keyvend-focus, var(--accent));
  --good: var(--keyvend-good, light-dark(#17683a, #6fd39a));
  --warning: var(--keyvend-warning, light-dark(#845200, #f0bd61));
  --bad: var(--keyvend-bad, light-dark(#b3261e, #ff9c93));
  --radius: var(--keyvend-radius, 8px);
  --space: var(--keyvend-space, 1rem);
  color: var(--text);
  background: var(--background);
  font: var(--keyvend-font-size, 1rem)/1.5 var(--keyvend-font, system-ui, sans-serif);
  text-align: start;
  overflow-wrap: anywhere;
}
:host([theme="light"]) { color-scheme: light; }
:host([theme="dark"]) { color-scheme: dark; }
:host([hidden]), [hidden] { display: none; }
*, ::before, ::after { box-sizing: border-box; }
h2, h3, p, ul, ol { margin: 0; padding: 0; }
ul, ol { list-style: none; }
h2 { font-size: 1.25em; line-height: 1.3; }
h3 { font-size: 1em; }
a { color: var(--accent); }
.meta, .hint { color: var(--muted); font-size: .875em; }
.widget { display: grid; gap: var(--space); padding: var(--space); }
.unseen { position: absolute; inline-size: 1px; block-size: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
.bad { color: var(--bad); }
.warning { color: var(--warning); }
.news, [role="alert"] { unicode-bidi: plaintext; }
.news:empty { position: absolute; }
[role="alert"]:empty { display: none; }
:is(.news, [role="alert"]):not(:empty), .notice { border-inline-start: 4px solid currentColor; padding-inline-start: .75em; }

.list { border-block-start: 1px solid var(--line); }
.list > li {
  display: grid;
  grid-template-columns: 2.5rem minmax(0, 1fr);
  gap: .25em .875em;
  padding-block: var(--space);
  border-block-end: 1px solid var(--line);
}
.logo { grid-row: 1 / span 2; inline-size: 2.5rem; block-size: 2.5rem; border-radius: var(--radius); object-fit: contain; }
.initial { display: grid; place-items: center; font-weight: 600; color: var(--muted); border: 1px solid var(--line); }
.about { display: grid; gap: .25em; }
.actions { display: flex; flex-wrap: wrap; gap: .5em; align-items: start; }
.list .actions { grid-column: 2; margin-block-start: .25em; }
.ledger { grid-column: 2 / -1; }
.ledger li { padding-block: .25em; border-block-start: 1px solid var(--line); }
.ledger ol { margin-block-start: .5em; }
.state { display: inline-flex; gap: .5em; align-items: baseline; font-weight: 600; }
.state::before {
  content: "";
  flex: none;
  inline-size: .625em;
  block-size: .625em;
  border: 2px solid currentColor;
  border-radius: 50%;
  forced-color-adjust: none;
}
.state:is(.good, .bad, .warning)::before { background: currentColor; }
.state.good { color: var(--good); }
.meta, .ledger li { display: flex; flex-wrap: wrap; gap: 0 1.25em; }
@container (min-width: 56rem) {
  .list > li { grid-template-columns: 2.5rem minmax(0, 1fr) auto; }
  .list .actions { grid-column: 3; grid-row: 1 / span 2; margin: 0; }
}

button, input, select { font: inherit; color: inherit; border-radius: var(--radius); border: 1px solid var(--border); min-block-size: 2.75em; }
button { padding: .375em 1em; background: transparent; cursor: pointer; }
button:hover { border-color: currentColor; text-decoration: underline; }
button.main { background: var(--accent); color: var(--on-accent); border-color: var(--accent); font-weight: 600; }
button.danger { color: var(--bad); border-color: currentColor; }
button[aria-disabled="true"] { opacity: .65; cursor: default; }
input, select { inline-size: 100%; padding: .375em .75em; background: var(--background); }
[aria-invalid="true"] { border-color: var(--bad); border-width: 2px; }
:focus-visible { outline: 3px solid var(--focus); outline-offset: 2px; }

dialog {
  inline-size: min(34rem, 100vi - 1rem);
  max-block-size: calc(100vb - 1rem);
  overflow: auto;
  padding: calc(var(--space) * 1.25);
  color: var(--text);
  background: var(--background);
  border: 1px solid var(--border);
  border-radius: var(--radius);
}
dialog::backdrop { background: rgb(0 0 0 / .5); }
dialog, form, .field { display: grid; gap: .5em; }
dialog:not([open]) { display: none; }
form { gap: var(--space); }
label { font-weight: 600; }
.secret { display: grid; grid-template-columns: minmax(0, 1fr) auto; gap: .5em; }
.notice { display: flex; flex-wrap: wrap; gap: .5em; align-items: center; justify-content: space-between; }

@media (prefers-reduced-motion: no-preference) {
  button { transition: border-color .15s; }
  dialog[open] { animation: appear .15s ease-out; }
  @keyframes appear { from { opacity: 0; } }
}
`;

/** The sheet that all widgets of a page share. */
export const STYLE = new CSSStyleSheet();
STYLE.replaceSync(CSS);
