"use strict";
// What every page does: tips of charts, and word of a run that has gone on.

const $ = (id) => document.getElementById(id);

function made(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "class") node.className = value;
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.filter((each) => each !== null));
  return node;
}

// Tips of charts: what a mark says of itself to a screen reader, shown to a mouse.
document.addEventListener("pointerover", (event) => {
  const mark = event.target.closest?.("svg [aria-roledescription][aria-label]");
  const tip = $("tip");
  tip.hidden = !mark || !/point|bar|symbol|rect/.test(mark.getAttribute("aria-roledescription"));
  if (tip.hidden) return;
  tip.textContent = mark.getAttribute("aria-label");
  tip.style.left = `${Math.min(event.clientX + 12, innerWidth - 260)}px`;
  tip.style.top = `${Math.min(event.clientY + 12, innerHeight - 60)}px`;
});
document.addEventListener("keydown", (event) => { if (event.key === "Escape") $("tip").hidden = true; });

// Served by `rft view`: say when the run has gone on.
if (document.body.dataset.state) {
  setInterval(async () => {
    try {
      const state = await (await fetch("state", { cache: "no-store" })).text();
      if (state === document.body.dataset.state || $("newer")) return;
      document.querySelector("header").append(made("p", { id: "newer", role: "status" },
        "The run has gone on. ", made("button", { type: "button", onclick: () => location.reload() }, "Show")));
    } catch { /* the server is gone; what is here stays */ }
  }, 3000);
}
