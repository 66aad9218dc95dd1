// Two runs side by side: what differs first, what is equal folded away.
"use strict";
(() => {
  const { runs } = study.data;
  const known = new Map(runs.map((run) => [run.id, run]));
  const inputs = { a: document.getElementById("a"), b: document.getElementById("b") };
  const [holder, status] = [document.getElementById("comparison"), document.getElementById("status")];
  const COST = [
    ["model_macs", "MACs (G)", format.giga], ["mechanism_macs", "MACs of the mechanism (G)", format.giga],
    ["model_parameters", "parameters (M)", format.mega], ["mechanism_parameters", "parameters of the mechanism (M)", format.mega],
    ["seconds", "training time", format.seconds], ["peak_memory_bytes", "peak memory (GiB)", format.gibi], ["attempts", "attempts", format.text],
  ];

  // A script works where the page is a file; fetch does not.
  function load(id) {
    if (study.loaded[id]) return Promise.resolve(study.loaded[id]);
    return new Promise((resolve, reject) => {
      const script = make("script", { src: `runs/${encodeURIComponent(id)}.js` });
      script.onload = () => (study.loaded[id] ? resolve(study.loaded[id]) : reject(new Error(id)));
      script.onerror = () => reject(new Error(id));
      document.head.append(script);
    });
  }

  const equal = (x, y) => JSON.stringify(x) === JSON.stringify(y);

  function table(caption, lines, third = null) {
    const titles = ["", "A", "B", ...(third ? [third] : [])];
    const head = titles.map((title, n) => make("th", { scope: "col", class: third && n ? "num" : null },
      title ? make("span", { class: `key ${title.toLowerCase()}` }, title) : ""));
    const rows = lines.map(([name, ...cells]) => make("tr", {}, make("th", { scope: "row" }, name),
      ...cells.map((cell) => make("td", { class: third ? "num" : null }, cell))));
    return make("div", { class: "scroll", role: "region", "aria-label": caption, tabindex: 0 },
      make("table", { class: "versus" }, make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...rows)));
  }

  function differences(title, a, b, open) {
    const keys = [...new Set([...Object.keys(a), ...Object.keys(b)])];
    const cell = (part, key) => (key in part ? format.entry(part[key]) : ABSENT);
    const lines = (wanted) => wanted.map((key) => [key, cell(a, key), cell(b, key)]);
    const differ = keys.filter((key) => !equal(a[key], b[key]));
    const agree = keys.filter((key) => equal(a[key], b[key]));
    const parts = [make("h2", {}, title)];
    parts.push(differ.length ? table(`${title}: differences`, lines(differ)) : make("p", {}, "No difference."));
    if (agree.length) {
      parts.push(make("details", { open }, make("summary", {}, `${agree.length} equal entr${agree.length === 1 ? "y" : "ies"}`),
        table(`${title}: equal entries`, lines(agree))));
    }
    return make("section", { "data-part": title.toLowerCase() }, ...parts);
  }

  const metricOf = (a, b, name) => a.metrics[name] ?? b.metrics[name];

  function results(a, b) {
    const number = (run, name) => run.outcome[`metrics.${name}`];
    const names = [...new Set([a, b].flatMap((run) => Object.keys(run.outcome))
      .filter((key) => key.startsWith("metrics.")).map((key) => key.slice(8)))];
    const first = a.row.metric ?? b.row.metric;
    names.sort((x, y) => (y === first) - (x === first));
    const lines = names.map((name) => {
      const metric = metricOf(a, b, name), show = (value) => format.score(value, metric);
      const [x, y] = [number(a, name), number(b, name)];
      return [metric.name, show(x), show(y), change(x, y, show)];
    });
    for (const [key, title, show] of COST) {
      const [x, y] = [a.row[key], b.row[key]];
      if (!missing(x) || !missing(y)) lines.push([title, show(x), show(y), change(x, y, show)]);
    }
    const section = make("section", { "data-part": "results" }, make("h2", {}, "Results and cost"));
    section.append(lines.length ? table("Results and cost", lines, "B - A") : make("p", {}, "Neither has finished."));
    return section;
  }

  function change(x, y, show) {
    if (missing(x) || missing(y)) return ABSENT;
    const d = y - x;
    return d === 0 ? "0" : `${d > 0 ? "+" : "-"}${show(Math.abs(d))}`;
  }

  function curves(a, b) {
    const first = a.row.metric ?? b.row.metric;
    const names = [first, "loss"].filter((name) => name && (a.curves[name] || b.curves[name]));
    const section = make("section", { "data-part": "curves" });
    if (!names.length) return [section, () => {}];
    const box = make("div", { class: "charts" });
    section.append(make("h2", {}, "Curves"),
      make("p", { class: "source" }, make("span", { class: "key a" }, "A"), " solid, ", make("span", { class: "key b" }, "B"), " dashed"), box);
    return [section, () => {
      for (const name of names) {
        const canvas = make("div", { class: "chart" });
        const metric = metricOf(a, b, name);
        box.append(make("div", {}, make("h3", {}, metric?.name ?? name), canvas));
        chart.curves(canvas, name, metric, [
          { name: "A", points: a.curves[name] ?? [], color: "var(--a)" },
          { name: "B", points: b.curves[name] ?? [], color: "var(--b)", dash: "6 4" },
        ]);
      }
    }];
  }

  function heading(run, key) {
    return make("p", {}, make("span", { class: `key ${key}` }, key.toUpperCase()), " ",
      make("a", { href: pageOf(run.row.id) }, run.row.label), " ", stateBadge(run.row.state));
  }

  // The id meant: itself, or the only one that has the text in it.
  function meant(text) {
    if (known.has(text)) return text;
    const found = text ? runs.filter((run) => run.id.includes(text)) : [];
    return found.length === 1 ? found[0].id : null;
  }

  let asked = 0;
  async function refresh() {
    const now = (asked += 1);
    const [a, b] = [inputs.a, inputs.b].map((input) => meant(input.value.trim()));
    address.write({ a: a ?? inputs.a.value.trim(), b: b ?? inputs.b.value.trim() });
    if (!a || !b) {
      const open = ["a", "b"].filter((key) => !meant(inputs[key].value.trim()));
      const wrong = open.filter((key) => inputs[key].value.trim());
      status.textContent = wrong.length ? `No single run is meant by ${wrong.map((key) => `“${inputs[key].value.trim()}”`).join(" and ")}.`
        : `Choose ${open.length === 2 ? "two runs" : `run ${open[0].toUpperCase()}`}.`;
      holder.replaceChildren();
      return;
    }
    try {
      const [x, y] = await Promise.all([load(a), load(b)]);
      if (now !== asked) return;
      status.textContent = a === b ? "This is one run, compared with itself." : "";
      const [lines, draw] = curves(x, y);
      holder.replaceChildren(heading(x, "a"), heading(y, "b"), differences("Configuration", x.science, y.science, false),
        results(x, y), lines, differences("Provenance", x.provenance, y.provenance, false));
      draw();
    } catch (error) {
      if (now === asked) status.textContent = `The data of ${error.message} could not be read.`;
    }
  }

  function restore() {
    const kept = address.read();
    for (const key of ["a", "b"]) inputs[key].value = kept[key] ?? "";
    refresh();
  }

  document.getElementById("ids").append(...runs.map((run) => make("option", { value: run.id })));
  for (const input of Object.values(inputs)) input.addEventListener("change", refresh);
  document.getElementById("pair").addEventListener("submit", (event) => { event.preventDefault(); refresh(); });
  document.getElementById("swap").addEventListener("click", () => {
    [inputs.a.value, inputs.b.value] = [inputs.b.value, inputs.a.value];
    refresh();
  });
  addEventListener("hashchange", restore);
  restore();
})();
