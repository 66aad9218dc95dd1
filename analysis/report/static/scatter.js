// Accuracy against cost: a point a run, which tells what it is and leads to its page.
"use strict";

const scatter = (() => {
  const holder = document.getElementById("scatter");
  const axis = document.getElementById("axis");
  const titles = Object.fromEntries([...axis.options].map((option) => [option.value, option.textContent]));
  // How a cost is written, and the size of the unit that its title names.
  const UNITS = {
    mechanism_macs: [format.giga, 1e9], model_macs: [format.giga, 1e9], model_parameters: [format.mega, 1e6],
    seconds: [format.seconds, 1], peak_memory_bytes: [format.gibi, 2 ** 30],
  };
  let shown = [], group = null, drawn = null, current = 0;

  function draw() {
    const cost = axis.value, [show, unit] = UNITS[cost];
    const runs = shown.filter((run) => !missing(run.value) && !missing(run[cost]));
    if (!group || !runs.length) {
      holder.replaceChildren(make("p", { class: "source" }, "No finished run to show here."));
      return;
    }
    const costOf = (run) => run[cost] / unit, points = (run) => run.value / run.shown.point;
    const { svg, px, py } = chart.axes(holder, {
      x: chart.costs(runs.map(costOf)), y: chart.linear(runs.map(points)),
      xTitle: titles[cost], yTitle: group.metric ?? "", xFormat: cost === "seconds" ? show : null,
      height: Math.max(260, Math.min(420, holder.clientWidth * 0.5)),
      label: `${group.metric} against ${titles[cost]}, ${runs.length} runs; arrow keys go from run to run`,
    });
    // From the cheapest to the most expensive, as the arrow keys go.
    const ordered = [...runs].sort((a, b) => a[cost] - b[cost] || a.value - b.value);
    const links = ordered.map((run) => {
      const link = document.createElementNS("http://www.w3.org/2000/svg", "a");
      link.setAttribute("href", pageOf(run.id));
      link.setAttribute("tabindex", -1);
      link.setAttribute("data-id", run.id);
      link.setAttribute("aria-label", `${run.label}: ${group.metric} ${format.score(run.value, run.shown)}, ${show(run[cost])}`);
      link.setAttribute("transform", `translate(${px(costOf(run)).toFixed(1)},${py(points(run)).toFixed(1)})`);
      link.append(make("circle", { class: "hit", r: 10 }), chart.sign(study.data.style[run.mechanism] ?? ["#8C8C8C", "o"]));
      return link;
    });
    holder.replaceChildren(svg, legend(ordered));
    const box = chart.tip(holder);
    const tell = (n) => {
      const run = ordered[n];
      box.show(px(costOf(run)), py(points(run)),
        make("b", {}, run.label),
        make("div", {}, `${group.metric} ${format.score(run.value, run.shown)}, seed ${run.seed}`),
        make("div", {}, `${titles[cost]}: ${show(run[cost])}`));
    };
    const go = (n) => {
      links[current]?.setAttribute("tabindex", -1);
      current = Math.max(0, Math.min(links.length - 1, n));
      links[current].setAttribute("tabindex", 0);
    };
    // Who listens for the focus may have it; but the points shall be one stop, not two.
    svg.setAttribute("tabindex", -1);
    let touched = null;
    const nth = (event) => links.indexOf(event.target.closest?.("a"));
    const on = (type, act) => svg.addEventListener(type, (event) => { if (nth(event) >= 0) act(nth(event), event); });
    on("pointerover", tell);
    on("pointerout", (n) => { if (document.activeElement !== links[n]) box.hide(); });
    on("focusin", (n) => { go(n); tell(n); });
    on("focusout", () => box.hide());
    // A finger cannot hover: the first touch tells, the second goes there.
    on("click", (n, event) => {
      if (event.pointerType === "touch" && touched !== n) { event.preventDefault(); tell(n); }
      touched = n;
    });
    on("keydown", (n, event) => {
      const to = { ArrowRight: n + 1, ArrowUp: n + 1, ArrowLeft: n - 1, ArrowDown: n - 1, Home: 0, End: links.length - 1 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      go(to);
      links[current].focus();
    });
    svg.append(...links);
    go(Math.min(current, links.length - 1));
  }

  function legend(runs) {
    const seen = new Map();
    for (const run of runs) {
      const style = study.data.style[run.mechanism] ?? ["#8C8C8C", "o"];
      const key = style.join();
      if (!seen.has(key)) seen.set(key, { style, words: new Set() });
      seen.get(key).words.add(run.mechanism);
    }
    const items = [...seen.values()].sort((a, b) => a.words.size - b.words.size).map(({ style, words }) => {
      const icon = make("svg", { viewBox: "-7 -7 14 14", "aria-hidden": "true" }, chart.sign(style));
      const [first] = words;
      return make("li", {}, icon, words.size > 2 ? `${words.size} others` : [...words].join(", ") || first);
    });
    return make("ul", { class: "legend", "aria-label": "Mechanisms" }, ...items);
  }

  axis.addEventListener("change", () => holder.dispatchEvent(new Event("choice", { bubbles: true })));

  return {
    show(runs, where) {
      // Another order of the table is the same picture.
      const same = where === group && drawn === axis.value && runs.length === shown.length && runs.every((run, n) => run === shown[n]);
      [shown, group, drawn] = [runs, where, axis.value];
      if (!same) draw();
    },
    watch: () => chart.redrawn(holder, draw),
  };
})();
