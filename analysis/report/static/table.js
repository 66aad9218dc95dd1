// The table of all runs: grouped by mechanism, sorted by its headers, filtered by the form. The
// address keeps all of that; which columns are hidden is kept by the browser.
"use strict";
(() => {
  const { runs, groups } = study.data;
  const scored = [...new Set(runs.map((run) => run.shown.name).filter(Boolean))];
  const inPoints = (run) => (missing(run.value) ? null : run.value / run.shown.point);

  // What all runs agree in is said once, above the table.
  const values = (key) => [...new Set(runs.map((run) => run[key]).filter((value) => !missing(value)))];
  const agreed = (key) => values(key).length === 1 && (key === "metric" || runs.every((run) => !missing(run[key])));
  const places = ["task", "data", "sites"].filter((key) => !agreed(key));
  const where = (run) => places.map((key) => run[key]).filter(Boolean).join(" · ");

  const COLUMNS = [
    { key: "mechanism", title: "mechanism" },
    { key: "value", title: scored.length === 1 ? scored[0] : "result", number: true, by: inPoints, show: (value, run) => format.score(run.value, run.shown) },
    { key: "seed", title: "seed", number: true, show: format.text },
    { key: "where", title: places.join(" · "), by: where, absent: !places.length },
    { key: "state", title: "state" },
    { key: "tags", title: "tags", by: (run) => run.tags.join(", "), absent: !runs.some((run) => run.tags.length) },
    { key: "mechanism_macs", title: "mech. MACs (G)", number: true, show: format.giga },
    { key: "model_macs", title: "model MACs (G)", number: true, show: format.giga },
    { key: "model_parameters", title: "parameters (M)", number: true, show: format.mega },
    { key: "seconds", title: "time", number: true, show: format.seconds },
    { key: "peak_memory_bytes", title: "memory (GiB)", number: true, show: format.gibi },
    { key: "metric", title: "metric", absent: agreed("metric") },
    { key: "attempts", title: "attempts", number: true, show: format.text, hidden: true },
    { key: "finished", title: "finished (UTC)", show: format.day, hidden: true },
    { key: "grid", title: "grid", absent: agreed("grid"), hidden: true },
    { key: "label", title: "run", hidden: true },
  ].filter((column) => !column.absent).map((column) => ({ by: (run) => run[column.key], show: format.text, ...column }));
  const CHOICES = ["state", "mechanism", "task", "sites", "seed", "tag"];
  const WORDS = ["id", "error", "label", "task", "data", "mechanism", "sites", "state", "metric", "finished", "grid", "note", "tags"];
  const KEPT = "study-report-columns";
  const STEP = 100; // rows: a browser takes a second to lay out a thousand
  const MOST = 8; // runs to compare

  const field = (name) => document.getElementById(name);
  const [head, body] = [document.querySelector("#runs thead"), document.querySelector("#runs tbody")];
  const place = field("place"), axis = field("axis"), link = field("compare"), more = field("more"), view = field("view");
  const collator = new Intl.Collator("en");
  const isNothing = (value) => missing(value) || value === "";
  const many = runs.length > new Set(runs.map(cellOf)).size;
  const marked = new Set(), open = new Set();
  let sort = { key: "", down: false }, waiting = [], made = new Map();
  let hidden = new Set(COLUMNS.filter((column) => column.hidden).map((column) => column.key));
  try {
    hidden = new Set(JSON.parse(localStorage.getItem(KEPT)) ?? hidden);
  } catch {} // a browser may forbid it, for files in particular
  const columns = () => COLUMNS.filter((column) => !hidden.has(column.key));

  const told = ["task", "data", "sites", "metric", "grid"].filter(agreed);
  field("constant").textContent = told.length && runs.length > 1
    ? `All of them: ${told.map((key) => `${key} ${format.text(values(key)[0])}`).join(", ")}.` : "";

  // What runs share that differ in their seed alone.
  function cellOf(run) { return JSON.stringify([run.groups, run.mechanism, run.sites]); }

  function header() {
    const cells = columns().map((column) => {
      const arrow = make("span", { class: "arrow", "aria-hidden": "true" });
      const button = make("button", { type: "button", "data-key": column.key }, column.title, arrow);
      button.addEventListener("click", () => {
        // Numbers are asked for the largest first, words from A.
        const first = Boolean(column.number);
        sort = sort.key === column.key ? { key: column.key, down: !sort.down } : { key: column.key, down: first };
        refresh();
      });
      return make("th", { scope: "col", class: column.number ? "num" : null }, button);
    });
    head.replaceChildren(make("tr", {}, ...cells));
  }

  function row(run) {
    const cells = columns().map((column) => {
      const value = column.by(run);
      if (column.key === "mechanism") {
        const box = make("input", { type: "checkbox", "aria-label": `Compare ${run.id}` });
        box.checked = marked.has(run.id);
        box.addEventListener("change", () => choose(run.id, box));
        return make("th", { scope: "row" }, box, make("a", { class: "word", href: pageOf(run.id), title: run.id, "aria-label": run.label }, run.mechanism));
      }
      if (column.key === "state") {
        const error = run.error ? make("p", {}, run.error) : null;
        return make("td", { class: error ? "error" : null }, stateBadge(run.state), run.archived ? make("small", {}, " archived") : null, error);
      }
      return make("td", { class: column.number ? "num" : null, title: column.key === "tags" ? run.note : null }, column.show(value, run));
    });
    return make("tr", { "data-id": run.id }, ...cells);
  }

  // The mean of a mechanism; its interval is of all its finished runs, and holds for no others.
  function summed(cell) {
    const done = cell.filter((run) => run.state === "completed" && !missing(run.value)), [run] = cell;
    const mean = (by) => {
      const all = done.map(by).filter((value) => !missing(value));
      return all.length ? all.reduce((sum, value) => sum + value, 0) / all.length : null;
    };
    const known = groups[run.groups[0]]?.means[run.mechanism];
    const half = known && known.n === done.length ? known.half : null;
    const of = Object.fromEntries(COLUMNS.filter((each) => each.number).map(({ key }) => [key, mean((each) => each[key])]));
    return { ...run, ...of, n: done.length, half, runs: cell, seed: null };
  }

  function heading(cell) {
    const key = cellOf(cell), shown = open.has(key);
    const cells = columns().map((column) => {
      if (column.key === "mechanism") {
        const button = make("button", { type: "button", "aria-expanded": String(shown) }, make("span", { "aria-hidden": "true" }, shown ? "▾ " : "▸ "), make("span", { class: "word" }, cell.mechanism));
        button.addEventListener("click", () => {
          if (!open.delete(key)) open.add(key);
          refresh();
          [...body.querySelectorAll("tr.cell")].find((each) => each.dataset.cell === key)?.querySelector("button").focus();
        });
        return make("th", { scope: "row" }, button);
      }
      if (column.key === "value") {
        const reach = missing(cell.half) ? "" : ` ± ${format.score(cell.half, cell.shown)}`;
        return make("td", { class: "num" }, column.show(cell.value, cell), make("small", {}, reach));
      }
      if (column.key === "seed") return make("td", { class: "num" }, make("small", {}, `${cell.runs.length} seeds`));
      if (column.key === "state") {
        const states = [...new Set(cell.runs.map((run) => run.state))];
        return make("td", {}, ...states.map((state) => make("span", {}, stateBadge(state), ` ${cell.runs.filter((run) => run.state === state).length} `)));
      }
      if (column.number) return make("td", { class: "num" }, column.key === "attempts" ? "" : column.show(cell[column.key], cell));
      return make("td", {}, ["where", "metric"].includes(column.key) ? column.show(column.by(cell), cell) : "");
    });
    return make("tr", { class: "cell", "data-cell": key }, ...cells);
  }

  const rowOf = (run) => made.get(run) ?? made.set(run, row(run)).get(run);

  function append(count) {
    body.append(...waiting.splice(0, count).map((entry) => (entry.runs ? heading(entry) : rowOf(entry))));
    more.hidden = !waiting.length;
    more.textContent = `Show the other ${waiting.length}`;
  }

  function fill(entries) {
    body.replaceChildren();
    waiting = entries;
    append(STEP);
  }

  function choose(id, box) {
    if (box.checked && marked.size >= MOST) box.checked = false;
    else if (box.checked) marked.add(id);
    else marked.delete(id);
    link.hidden = marked.size < 2;
    link.textContent = `Compare ${marked.size} runs`;
    link.href = study.at(`compare.html#${new URLSearchParams([...marked].map((each) => ["run", each]))}`);
  }

  function options(select, found) {
    const all = [...new Set(found)].filter((value) => !isNothing(value));
    all.sort((a, b) => (typeof a === "number" ? a - b : collator.compare(a, b)));
    select.replaceChildren(make("option", { value: "" }, "all"), ...all.map((value) => make("option", { value }, String(value))));
    select.closest("label").hidden = all.length < (select.id === "tag" ? 1 : 2);
  }

  function sorted(list) {
    const column = COLUMNS.find((each) => each.key === sort.key);
    if (!column) return list;
    const sign = sort.down ? -1 : 1;
    return [...list].sort((a, b) => {
      const [x, y] = [column.by(a), column.by(b)];
      // What is missing comes last either way.
      if (isNothing(x) || isNothing(y)) return isNothing(x) - isNothing(y);
      return sign * (column.number ? x - y : collator.compare(x, y));
    });
  }

  const texts = new Map(runs.map((run) => [run, WORDS.map((key) => run[key]).join("\n").toLowerCase()]));

  function fits(run, words) {
    const text = texts.get(run);
    return CHOICES.every((name) => !field(name).value || (name === "tag" ? run.tags.includes(field(name).value) : String(run[name]) === field(name).value))
      && words.every((word) => text.includes(word));
  }

  function point(entry) {
    const alone = { mechanism: entry.mechanism, view: "runs", place: place.value };
    const words = entry.runs ? `${entry.mechanism}, mean of ${entry.n} seeds` : entry.label;
    return { ...entry, words, href: entry.runs ? study.at(`runs.html#${new URLSearchParams(alone)}`) : pageOf(entry.id) };
  }

  function refresh() {
    const words = field("q").value.toLowerCase().split(/\s+/).filter(Boolean);
    const shown = runs.filter((run) => fits(run, words));
    const cells = new Map();
    for (const run of shown) cells.set(cellOf(run), [...(cells.get(cellOf(run)) ?? []), run]);
    const entries = view.checked ? [...cells.values()].map((cell) => (cell.length > 1 ? summed(cell) : cell[0])) : shown;
    fill(sorted(entries).flatMap((entry) => (entry.runs && open.has(cellOf(entry)) ? [entry, ...sorted(entry.runs)] : [entry])));
    for (const button of head.querySelectorAll("button")) {
      const on = button.dataset.key === sort.key;
      button.lastChild.textContent = on ? (sort.down ? "↓" : "↑") : "";
      if (on) button.parentElement.setAttribute("aria-sort", sort.down ? "descending" : "ascending");
      else button.parentElement.removeAttribute("aria-sort");
    }
    const title = COLUMNS.find((column) => column.key === sort.key)?.title;
    field("count").textContent = `${shown.length} of ${runs.length}`
      + (title ? `, by ${title}, ${sort.down ? "descending" : "ascending"}` : "");
    const number = Number(place.value);
    scatter.show(entries.filter((entry) => entry.groups.includes(number)).map(point), groups[number]);
    const chosen = Object.fromEntries(["q", ...CHOICES].map((name) => [name, field(name).value]));
    address.write({
      ...chosen, sort: sort.key && (sort.down ? "-" : "") + sort.key, view: many && !view.checked ? "runs" : "",
      place: place.value === "0" ? "" : place.value, cost: axis.selectedIndex ? axis.value : "",
    });
  }

  function restore() {
    const kept = address.read();
    field("q").value = kept.q ?? "";
    for (const name of CHOICES) {
      field(name).value = kept[name] ?? "";
      if (field(name).selectedIndex < 0) field(name).value = "";
    }
    const key = (kept.sort ?? "").replace(/^-/, "");
    sort = COLUMNS.some((column) => column.key === key) ? { key, down: kept.sort.startsWith("-") } : { key: "", down: false };
    view.checked = many && kept.view !== "runs";
    place.value = kept.place ?? best();
    if (place.selectedIndex < 0) place.value = best();
    axis.value = kept.cost ?? axis.options[0].value;
    if (axis.selectedIndex < 0) axis.selectedIndex = 0;
  }

  // The group of the task asked for, if there is one; else the first.
  function best() {
    const task = field("task").value, sites = field("sites").value;
    const found = groups.findIndex((each) => (!task || each.task === task) && (!sites || each.sites === sites));
    return String(Math.max(0, found));
  }

  for (const name of CHOICES) options(field(name), runs.flatMap((run) => (name === "tag" ? run.tags : run[name])));
  place.replaceChildren(...groups.map((each, n) => make("option", { value: n }, each.title)));
  place.closest("label").hidden = groups.length < 2;
  view.closest("label").hidden = !many;
  field("columns").append(...COLUMNS.slice(1).map((column) => {
    const box = make("input", { type: "checkbox", value: column.key });
    box.checked = !hidden.has(column.key);
    return make("label", {}, box, column.title);
  }));
  header();
  restore();
  refresh();
  scatter.watch();

  field("columns").addEventListener("change", ({ target }) => {
    if (target.checked) hidden.delete(target.value); else hidden.add(target.value);
    try { localStorage.setItem(KEPT, JSON.stringify([...hidden])); } catch {}
    made = new Map();
    header();
    refresh();
  });
  field("filters").addEventListener("input", (event) => {
    if (["task", "sites"].includes(event.target.id)) place.value = best();
    refresh();
  });
  field("filters").addEventListener("submit", (event) => event.preventDefault());
  field("filters").addEventListener("reset", () => setTimeout(refresh));
  more.addEventListener("click", () => append(Infinity));
  new IntersectionObserver((seen) => { if (seen[0].isIntersecting) append(STEP); }, { rootMargin: "400px" }).observe(more);
  addEventListener("beforeprint", () => append(Infinity));
  for (const choice of [view, place, axis]) choice.addEventListener("change", refresh);
  addEventListener("hashchange", () => { restore(); refresh(); });
})();
