// Several runs side by side: what differs first, what is equal folded away.
"use strict";
(() => {
  const { runs, groups } = study.data;
  const known = new Map(runs.map((run) => [run.id, run]));
  const [input, chosen] = [document.getElementById("add"), document.getElementById("chosen")];
  const [holder, status] = [document.getElementById("comparison"), document.getElementById("status")];
  const smooth = document.getElementById("smooth");
  const LETTERS = "ABCDEFGH"; // a colour each; more lines could not be told apart
  const DASHES = [null, "6 4", "2 3", "8 3 2 3"];
  const paint = (n) => `var(--${LETTERS[n].toLowerCase()})`;
  const key = (n) => make("span", { class: `key ${LETTERS[n].toLowerCase()}` }, LETTERS[n]);
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

  const equal = (parts, entry) => new Set(parts.map((part) => JSON.stringify(part[entry]))).size === 1;

  function table(caption, lines, number = false) {
    const count = lines[0].length - 1;
    const head = Array.from({ length: count }, (_, n) => make("th", { scope: "col", class: number ? "num" : null }, key(n)));
    const rows = lines.map(([name, ...cells]) => make("tr", {}, make("th", { scope: "row" }, name),
      ...cells.map((cell) => make("td", { class: number ? "num" : null }, ...[cell].flat()))));
    return make("div", { class: "scroll", role: "region", "aria-label": caption, tabindex: 0 },
      make("table", { class: "versus" }, make("thead", {}, make("tr", {}, make("th", {}), ...head)), make("tbody", {}, ...rows)));
  }

  function differences(title, parts) {
    const entries = [...new Set(parts.flatMap(Object.keys))];
    const lines = (wanted) => wanted.map((entry) => [entry, ...parts.map((part) => (entry in part ? format.entry(part[entry]) : ABSENT))]);
    const agree = entries.filter((entry) => equal(parts, entry)), differ = entries.filter((entry) => !equal(parts, entry));
    const section = make("section", { "data-part": title.toLowerCase() }, make("h2", {}, title),
      differ.length ? table(`${title}: differences`, lines(differ)) : make("p", {}, "No difference."));
    if (agree.length) {
      section.append(make("details", {}, make("summary", {}, `${agree.length} equal entr${agree.length === 1 ? "y" : "ies"}`),
        table(`${title}: equal entries`, lines(agree))));
    }
    return section;
  }

  // A value, and by how much it is more than the first one.
  function cells(found, show) {
    return found.map((value, n) => {
      const d = value - found[0];
      if (!n || missing(value) || missing(found[0])) return show(value);
      return [show(value), make("small", {}, d === 0 ? "0" : `${d > 0 ? "+" : "-"}${show(Math.abs(d))}`)];
    });
  }

  function results(parts) {
    const first = parts.map((part) => part.row.metric).find(Boolean);
    const measured = parts.flatMap((part) => Object.keys(part.outcome)).filter((entry) => entry.startsWith("metrics.")).map((entry) => entry.slice(8));
    const names = [...new Set(measured)].sort((x, y) => (y === first) - (x === first));
    const lines = names.map((name) => {
      const how = parts.map((part) => part.metrics[name]).find(Boolean);
      return [how.name, ...cells(parts.map((part) => part.outcome[`metrics.${name}`]), (value) => format.score(value, how))];
    });
    for (const [entry, title, show] of COST) {
      const found = parts.map((part) => part.row[entry]);
      if (!found.every(missing)) lines.push([title, ...cells(found, show)]);
    }
    return make("section", { "data-part": "results" }, make("h2", {}, "Results and cost"),
      lines.length ? table("Results and cost", lines, true) : make("p", {}, "None has finished."));
  }

  function curves(parts) {
    const names = chart.telling(parts, parts.map((part) => part.row.metric).find(Boolean)).slice(0, 3);
    const box = make("div", { class: "charts" });
    const section = make("section", { "data-part": "curves" }, ...(names.length ? [make("h2", {}, "Curves"), box] : []));
    return [section, () => {
      for (const name of names) {
        const canvas = make("div", { class: "chart" });
        const how = parts.map((part) => part.metrics[name]).find(Boolean);
        box.append(make("div", {}, make("h3", {}, how?.name ?? name), canvas));
        chart.curves(canvas, name, how, parts.map((part, n) => ({
          name: LETTERS[n], color: paint(n), dash: DASHES[n % DASHES.length], points: chart.smoothed(part.curves[name] ?? [], Number(smooth.value)),
        })));
      }
    }];
  }

  // The id meant: itself, or the only one that has the text in it.
  function meant(text) {
    if (known.has(text)) return text;
    const found = text ? runs.filter((run) => run.id.includes(text)) : [];
    return found.length === 1 ? found[0].id : null;
  }

  // Beside a run stands the baseline of its group with the same seed, or the cheapest mechanism; beside
  // that, the best. Who has chosen nothing starts with the best of the first group.
  function neighbours(run) {
    const number = run ? run.groups[0] : groups.findIndex((_, n) => runs.some((each) => each.groups.includes(n) && !missing(each.value)));
    if (!(number in groups)) return [];
    const { means, sign, baseline } = groups[number];
    const worth = (each) => sign * (means[each.mechanism]?.mean ?? each.value);
    const there = runs.filter((each) => each.groups.includes(number) && !missing(each.value)).sort((a, b) => worth(b) - worth(a));
    const first = run ?? there[0];
    const beside = there.filter((each) => each.seed === first?.seed && each.id !== first.id);
    const cheapest = [...beside].sort((a, b) => a.mechanism_macs - b.mechanism_macs)[0];
    const second = first?.mechanism === baseline ? beside[0] : beside.find((each) => each.mechanism === baseline) ?? cheapest;
    return [first, second].filter(Boolean).map((each) => each.id);
  }

  let ids = [], asked = 0;
  async function refresh() {
    const now = (asked += 1);
    address.write(ids.map((id) => ["run", id]));
    chosen.replaceChildren(...ids.map((id, n) => {
      const out = make("button", { type: "button", "aria-label": `Remove ${known.get(id).label}` }, "×");
      out.addEventListener("click", () => { ids = ids.filter((each) => each !== id); refresh(); });
      return make("li", {}, key(n), make("a", { href: pageOf(id) }, known.get(id).label), stateBadge(known.get(id).state), out);
    }));
    status.textContent = ids.length < 2 ? `Add ${ids.length ? "another run" : "runs"} to compare.` : "";
    if (ids.length < 2) { holder.replaceChildren(); return; }
    try {
      const parts = await Promise.all(ids.map(load));
      if (now !== asked) return;
      const [lines, draw] = curves(parts);
      holder.replaceChildren(results(parts), lines, differences("Configuration", parts.map((part) => part.science)),
        differences("Provenance", parts.map((part) => part.provenance)));
      draw();
    } catch (error) {
      if (now === asked) status.textContent = `The data of ${error.message} could not be read.`;
    }
  }

  function add() {
    const text = input.value.trim(), id = meant(text);
    if (!text) return;
    if (!id) status.textContent = `No single run is meant by “${text}”.`;
    else if (ids.length === LETTERS.length) status.textContent = `${ids.length} runs are all that fit.`;
    else { input.value = ""; ids = [...new Set([...ids, id])]; refresh(); }
  }

  function restore() {
    const kept = new URLSearchParams(address.text());
    ids = [...new Set(["a", "b", "run"].flatMap((name) => kept.getAll(name)).map(meant).filter(Boolean))].slice(0, LETTERS.length);
    if (ids.length < 2) ids = neighbours(known.get(ids[0]));
    refresh();
  }

  document.getElementById("ids").append(...runs.map((run) => make("option", { value: run.id })));
  input.addEventListener("change", add);
  document.getElementById("choice").addEventListener("submit", (event) => { event.preventDefault(); add(); });
  smooth.addEventListener("input", refresh);
  addEventListener("hashchange", restore);
  restore();
})();
