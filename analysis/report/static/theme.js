// Light or dark: as the system has it, until somebody chooses. Runs before the page is painted.
// Also what all pages do with the keyboard: / goes to the search.
"use strict";
(() => {
  const KEY = "study-report-theme";
  const WORDS = ["automatic", "light", "dark"];
  const system = matchMedia("(prefers-color-scheme: dark)");
  let chosen = "automatic";
  try {
    // A browser may forbid it, for files in particular; then the choice holds for one page.
    const kept = localStorage.getItem(KEY);
    if (WORDS.includes(kept)) chosen = kept;
  } catch {}

  function apply() {
    const dark = chosen === "dark" || (chosen === "automatic" && system.matches);
    document.documentElement.dataset.theme = dark ? "dark" : "light";
    const button = document.getElementById("theme");
    if (!button) return;
    button.textContent = { automatic: "◐ Auto", light: "○ Light", dark: "● Dark" }[chosen];
    button.setAttribute("aria-label", `Theme: ${chosen}`);
  }

  apply();
  system.addEventListener("change", apply);
  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    button.hidden = false;
    apply();
    // As a plain link it would take the place of the filters behind the #.
    document.querySelector(".skip").addEventListener("click", (event) => {
      event.preventDefault();
      document.getElementById("main").focus();
    });
    document.addEventListener("keydown", (event) => {
      if (event.key !== "/" || event.ctrlKey || event.altKey || event.metaKey || event.target.closest("input, select, textarea")) return;
      // That of the log in which somebody reads, else the first that is open, or the search of runs.
      const search = event.target.closest(".viewer")?.querySelector("input") ?? document.querySelector("details[open] .bar input, #q, #add");
      if (!search) return;
      event.preventDefault();
      search.focus();
    });
    button.addEventListener("click", () => {
      chosen = WORDS[(WORDS.indexOf(chosen) + 1) % WORDS.length];
      try { localStorage.setItem(KEY, chosen); } catch {}
      apply();
    });
  });
})();
