// A report of one file: shows the page that stands behind #! in the address, the overview without.
"use strict";
(() => {
  const PAGE = /^#!([^#]+)/;
  const asked = () => (PAGE.exec(location.hash)?.[1] ?? "index.html");
  const name = asked();
  const kind = name.includes("/") ? "runs/" : name;
  const main = document.getElementById("main");
  const found = [...document.querySelectorAll("template")].find((each) => each.dataset.page === decodeURIComponent(name));
  main.replaceChildren(found ? found.content.cloneNode(true) : make("p", { class: "trouble" }, "This report has no such page."));
  document.body.className = kind === "runs/" ? "run" : kind.replace(".html", "");
  for (const link of document.querySelectorAll(".top nav a")) {
    if (link.getAttribute("href") === `#!${name}`) link.setAttribute("aria-current", "page");
  }
  // An address without a page is a heading of the one that is shown.
  addEventListener("hashchange", (event) => {
    if (PAGE.test(location.hash) && asked() === name) return;
    event.stopImmediatePropagation(); // the scripts of this page would take it for their own
    if (PAGE.test(location.hash)) location.reload();
  });
  address.page = `!${name}#`;
  study.at = (path) => `#!${path}`;
  if (found) study.pages[kind]?.();
})();
