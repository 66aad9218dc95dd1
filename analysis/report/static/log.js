// Logs: numbered lines, a search that counts, and the way to the errors.
"use strict";
(() => {
  const MOST = 2000; // matches that are marked; more help nobody
  const BLOCK = 50; // lines

  function view(details) {
    const holder = details.querySelector(".viewer");
    const lines = make("div", { class: "lines", tabindex: 0, role: "region", "aria-label": `${holder.dataset.name}, keys: / search, n next, p previous, e error` });
    const errors = details.dataset.errors.split(" ").filter(Boolean).map(Number);
    const byNumber = new Map();
    for (const part of [...holder.children]) {
      if (part.tagName !== "PRE") { lines.append(part); continue; }
      const texts = part.textContent.split("\n");
      if (texts.at(-1) === "") texts.pop();
      const first = Number(part.dataset.first);
      // In blocks, of which a browser lays out only those that are in sight.
      for (let begin = 0; begin < texts.length; begin += BLOCK) {
        const block = make("div", { class: "block" });
        texts.slice(begin, begin + BLOCK).forEach((text, n) => {
          const line = make("div", { "data-n": first + begin + n }, make("span", {}, text));
          byNumber.set(first + begin + n, line);
          block.append(line);
        });
        lines.append(block);
      }
    }
    for (const number of errors) byNumber.get(number)?.classList.add("wrong");

    const input = make("input", { type: "search", "aria-label": `Search ${holder.dataset.name}`, placeholder: "Search", autocomplete: "off", spellcheck: "false" });
    const count = make("output", {});
    const previous = make("button", { type: "button", class: "previous" }, "Previous");
    const next = make("button", { type: "button", class: "next" }, "Next");
    const jump = make("button", { type: "button", class: "jump" }, "Jump to error");
    jump.disabled = !errors.length;
    holder.replaceChildren(make("div", { class: "bar" }, input, previous, next, count, jump), lines);

    let marks = [], at = -1, wrong = errors.length;

    function show(element) {
      lines.querySelector(".here")?.classList.remove("here");
      const line = element.closest("[data-n]");
      line.classList.add("here");
      // Within its own box only: the page stays where it is. Twice, for what comes into sight may
      // have another height than it was taken for.
      for (let n = 0; n < 2; n += 1) {
        const gap = line.getBoundingClientRect().top - lines.getBoundingClientRect().top;
        lines.scrollTop += gap - lines.clientHeight / 3;
      }
    }

    function clear() {
      for (const line of new Set(marks.map((mark) => mark.closest("span")))) line.textContent = line.textContent;
      marks = [];
    }

    function search() {
      clear();
      at = -1;
      const wanted = input.value.toLowerCase();
      let total = 0;
      if (wanted) {
        for (const line of byNumber.values()) {
          const span = line.firstChild, text = span.textContent, lower = text.toLowerCase();
          let found = lower.indexOf(wanted), from = 0;
          // Where lower case has another length (İ), places would not agree.
          if (found < 0 || lower.length !== text.length) continue;
          const parts = [];
          for (; found >= 0; found = lower.indexOf(wanted, from)) {
            total += 1;
            if (marks.length < MOST) {
              const mark = make("mark", {}, text.slice(found, found + wanted.length));
              parts.push(text.slice(from, found), mark);
              marks.push(mark);
              from = found + wanted.length;
            } else {
              break;
            }
          }
          if (parts.length) span.replaceChildren(...parts, text.slice(from));
        }
      }
      previous.disabled = next.disabled = !marks.length;
      if (marks.length) move(1); else count.textContent = wanted ? "no match" : "";
    }

    function move(step) {
      if (!marks.length) return;
      marks[at]?.classList.remove("now");
      at = (at + step + marks.length) % marks.length;
      marks[at].classList.add("now");
      count.textContent = `${at + 1} of ${marks.length}${marks.length >= MOST ? "+" : ""}`;
      show(marks[at]);
    }

    function toError() {
      if (!errors.length) return;
      // The last one ended the run; then the ones before it.
      wrong = (wrong - 1 + errors.length) % errors.length;
      const line = byNumber.get(errors[wrong]);
      details.open = true;
      show(line);
      lines.focus({ preventScroll: true });
      count.textContent = `error ${wrong + 1} of ${errors.length}`;
    }

    previous.disabled = next.disabled = true;
    let waiting = 0;
    input.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(search, 120); });
    input.addEventListener("keydown", (event) => {
      if (event.key !== "Enter") return;
      event.preventDefault();
      move(event.shiftKey ? -1 : 1);
    });
    previous.addEventListener("click", () => move(-1));
    next.addEventListener("click", () => move(1));
    jump.addEventListener("click", toError);
    // Only while the lines have the focus, so that no letter is taken from anybody.
    lines.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.altKey || event.metaKey) return;
      const act = { n: () => move(1), p: () => move(-1), N: () => move(-1), e: toError }[event.key];
      if (!act) return;
      event.preventDefault();
      act();
    });
  }

  for (const details of document.querySelectorAll("details.log")) {
    if (details.open) view(details);
    else details.addEventListener("toggle", () => view(details), { once: true });
  }
})();
