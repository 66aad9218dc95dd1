// The table of all runs: sorted by its headers, filtered by the form, both kept in the address.
"use strict";
(() => {
  const { runs, groups } = study.data;
  const scored = [...new Set(runs.map((run) => run.shown.name).filter(Boolean))];
  const COLUMNS = [
    { key: "label", title: "run" },
    { key: "task", title: "task", fold: true },
    { key: "data", title: "data", fold: true },
    { key: "mechanism", title: "mechanism", word: true },
    { key: "sites", title: "sites", fold: true },
    { key: "seed", title: "seed", number: true, show: format.text },
    { key: "state", title: "state" },
    { key: "metric", title: "metric", fold: true },
    { key: "value", title: scored.length === 1 ? scored[0] : "result", number: true, show: (value, run) => format.score(value, run.shown),
      by: (run) => (missing(run.value) ? null : run.value / run.shown.point) },
    { key: "mechanism_macs", title: "mech. MACs (G)", number: true, show: format.giga },
    { key: "model_macs", title: "model MACs (G)", number: true, show: format.giga },
    { key: "model_parameters", title: "parameters (M)", number: true, show: format.mega },
    { key: "seconds", title: "time", number: true, show: format.seconds },
    { key: "peak_memory_bytes", title: "memory (GiB)", number: true, show: format.gibi },
    { key: "attempts", title: "attempts", number: true, show: format.text },
    { key: "finished", title: "finished (UTC)", show: format.day },
    { key: "grid", title: "grid", fold: true },
  ];
  const CHOICES = ["state", "mechanism", "task", "sites", "seed"];

  const form = document.getElementById("filters");
  const field = (name) => document.getElementById(name);
  const [head, body] = [document.querySelector("#runs thead"), document.querySelector("#runs tbody")];
  const group = field("place"), axis = field("axis"), link = field("compare");
  const collator = new Intl.Collator("en");
  const more = field("more");
  const STEP = 100;
  const marked = new Set();
  let sort = { key: "", down: false };

  // A column in which all runs agree is said once, above the table.
  const values = (key) => [...new Set(runs.map((run) => run[key]).filter((value) => !missing(value)))];
  const same = (key) => values(key).length === 1 && (key === "metric" || runs.every((run) => !missing(run[key])));
  const folded = COLUMNS.filter((column) => column.fold && same(column.key));
  const columns = COLUMNS.filter((column) => !folded.includes(column));
  field("constant").textContent = folded.length && runs.length > 1
    ? `All of them: ${folded.map(({ key, title }) => `${title} ${format.text(values(key)[0])}`).join(", ")}.` : "";

  // What is said there need not begin every label.
  const told = (key) => (folded.some((column) => column.key === key) ? runs[0][key] : null);
  const prefix = runs.length > 1 && told("task") && told("data") ? `${told("task")}-${told("data")}-` : "";
  const short = (label) => (label.startsWith(prefix) ? label.slice(prefix.length) : label);

  const isNothing = (value) => missing(value) || value === "";

  function header() {
    const cells = columns.map((column) => {
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
    head.replaceChildren(make("tr", {}, make("th", { scope: "col" }, make("span", { class: "hidden" }, "compare")), ...cells));
  }

  function row(run) {
    const box = make("input", { type: "checkbox", "aria-label": `Compare ${run.id}` });
    box.addEventListener("change", () => choose(run.id, box));
    const cells = columns.map((column) => {
      const value = run[column.key];
      if (column.key === "label") return make("td", {}, make("a", { href: pageOf(run.id), title: run.id }, short(run.label)));
      if (column.key === "state") {
        const badge = stateBadge(run.state);
        const error = run.error ? make("p", {}, run.error) : null;
        return make("td", { class: error ? "error" : null }, badge, run.archived ? make("small", {}, " archived") : null, error);
      }
      const text = (column.show ?? format.text)(value, run);
      if (column.word) return make("td", {}, make("span", { class: "word" }, text));
      return make("td", { class: column.number ? "num" : null }, text);
    });
    return make("tr", { "data-id": run.id }, make("td", {}, box), ...cells);
  }

  const made = new Map();
  const rowOf = (run) => made.get(run) ?? made.set(run, row(run)).get(run);

  // A browser takes a second to lay out a thousand rows, so those come first that are in sight.
  let waiting = [];

  function fill(list) {
    body.replaceChildren(...list.slice(0, STEP).map(rowOf));
    waiting = list.slice(STEP);
    more.hidden = !waiting.length;
    more.textContent = `Show the other ${waiting.length}`;
  }

  function append(count) {
    body.append(...waiting.splice(0, count).map(rowOf));
    more.hidden = !waiting.length;
    more.textContent = `Show the other ${waiting.length}`;
  }

  more.addEventListener("click", () => append(Infinity));
  new IntersectionObserver((seen) => { if (seen[0].isIntersecting) append(STEP); }, { rootMargin: "400px" }).observe(more);
  addEventListener("beforeprint", () => append(Infinity));

  const WORDS = ["id", "error", ...COLUMNS.filter((column) => !column.number).map((column) => column.key)];
  const texts = new Map(runs.map((run) => [run, WORDS.map((key) => run[key]).join("\n").toLowerCase()]));

  function choose(id, box) {
    if (box.checked) marked.add(id); else marked.delete(id);
    if (marked.size > 2) {
      // The third takes the place of the one that was marked first.
      const [first] = marked;
      marked.delete(first);
      rowOf(runs.find((run) => run.id === first)).querySelector("input").checked = false;
    }
    const [a, b] = marked;
    link.hidden = marked.size < 2;
    link.href = `compare.html#${new URLSearchParams({ a: a ?? "", b: b ?? "" })}`;
  }

  function options(select, name) {
    const values = [...new Set(runs.map((run) => run[name]))].filter((value) => !isNothing(value));
    values.sort((a, b) => (typeof a === "number" ? a - b : collator.compare(a, b)));
    select.replaceChildren(make("option", { value: "" }, "all"),
      ...values.map((value) => make("option", { value }, String(value))));
    select.closest("label").hidden = values.length < 2;
  }

  function sorted(list) {
    const column = COLUMNS.find((each) => each.key === sort.key);
    if (!column) return list;
    const sign = sort.down ? -1 : 1;
    const value = column.by ?? ((run) => run[sort.key]);
    return [...list].sort((a, b) => {
      const [x, y] = [value(a), value(b)];
      // What is missing comes last either way.
      if (isNothing(x) || isNothing(y)) return isNothing(x) - isNothing(y);
      return sign * (column.number ? x - y : collator.compare(x, y));
    });
  }

  function fits(run, words) {
    const text = texts.get(run);
    return CHOICES.every((name) => !field(name).value || String(run[name]) === field(name).value)
      && words.every((word) => text.includes(word));
  }

  function refresh() {
    const words = field("q").value.toLowerCase().split(/\s+/).filter(Boolean);
    const shown = runs.filter((run) => fits(run, words));
    fill(sorted(shown));
    for (const button of head.querySelectorAll("button")) {
      const on = button.dataset.key === sort.key;
      button.lastChild.textContent = on ? (sort.down ? "↓" : "↑") : "";
      if (on) button.parentElement.setAttribute("aria-sort", sort.down ? "descending" : "ascending");
      else button.parentElement.removeAttribute("aria-sort");
    }
    const title = COLUMNS.find((column) => column.key === sort.key)?.title;
    field("count").textContent = `${shown.length} of ${runs.length}`
      + (title ? `, by ${title}, ${sort.down ? "descending" : "ascending"}` : "");
    const where = Number(group.value);
    scatter.show(shown.filter((run) => run.groups.includes(where)), groups[where]);
    const chosen = Object.fromEntries(["q", ...CHOICES].map((name) => [name, field(name).value]));
    address.write({
      ...chosen, sort: sort.key && (sort.down ? "-" : "") + sort.key,
      place: group.value === "0" ? "" : group.value, cost: axis.selectedIndex ? axis.value : "",
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
    group.value = kept.place ?? best();
    if (group.selectedIndex < 0) group.value = best();
    axis.value = kept.cost ?? axis.options[0].value;
    if (axis.selectedIndex < 0) axis.selectedIndex = 0;
  }

  // The group of the task asked for, if there is one; else the first.
  function best() {
    const task = field("task").value, sites = field("sites").value;
    const found = groups.findIndex((each) => (!task || each.task === task) && (!sites || each.sites === sites));
    return String(Math.max(0, found));
  }

  for (const name of CHOICES) options(field(name), name);
  group.replaceChildren(...groups.map((each, n) => make("option", { value: n }, each.title)));
  group.closest("label").hidden = groups.length < 2;
  header();
  restore();
  refresh();
  scatter.watch();

  form.addEventListener("input", (event) => {
    if (["task", "sites"].includes(event.target.id)) group.value = best();
    refresh();
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(refresh));
  group.addEventListener("change", refresh);
  document.addEventListener("choice", refresh);
  addEventListener("hashchange", () => { restore(); refresh(); });
})();
