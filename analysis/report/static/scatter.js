// Accuracy against cost: a point a run, which leads to its page, or a mechanism, which leads to its runs.
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
  let shown = [], group = null, drawn = "", current = 0;

  function draw() {
    const cost = axis.value, [show, unit] = UNITS[cost];
    const there = shown.filter((each) => !missing(each.value) && !missing(each[cost]));
    if (!group || !there.length) {
      holder.replaceChildren(make("p", { class: "source" }, "No finished run to show here."));
      return;
    }
    const costOf = (each) => each[cost] / unit;
    const ends = ({ value, half, shown: { point } }) => [value - (half ?? 0), value, value + (half ?? 0)].map((end) => end / point);
    const { svg, px, py } = chart.axes(holder, {
      x: chart.costs(there.map(costOf)), y: chart.linear(there.flatMap(ends)),
      xTitle: titles[cost], yTitle: group.metric ?? "", xFormat: cost === "seconds" ? show : null,
      height: Math.max(260, Math.min(420, holder.clientWidth * 0.5)),
      label: `${group.metric} against ${titles[cost]}, ${there.length} points; arrow keys go from point to point`,
    });
    // From the cheapest to the most expensive, as the arrow keys go.
    const ordered = [...there].sort((a, b) => a[cost] - b[cost] || a.value - b.value);
    const places = ordered.map((each) => [px(costOf(each)), py(ends(each)[1])]);
    const score = ({ value, half, shown: how }) => `${format.score(value, how)}${missing(half) ? "" : ` ± ${format.score(half, how)}`}`;
    const links = ordered.map((each, n) => {
      const [x, y] = places[n], [low, , high] = ends(each);
      const link = document.createElementNS("http://www.w3.org/2000/svg", "a");
      link.setAttribute("href", each.href);
      link.setAttribute("tabindex", -1);
      link.setAttribute("data-mechanism", each.mechanism);
      link.setAttribute("aria-label", `${each.words}: ${group.metric} ${score(each)}, ${show(each[cost])}`);
      link.setAttribute("transform", `translate(${x.toFixed(1)},${y.toFixed(1)})`);
      const style = study.data.style[each.mechanism] ?? ["#8C8C8C", "o"];
      if (high > low) link.append(make("line", { class: "reach", y1: py(high) - y, y2: py(low) - y, stroke: style[0] }));
      link.append(make("circle", { class: "hit", r: 10 }), chart.sign(style));
      return link;
    });
    holder.replaceChildren(svg, legend(ordered));
    const box = chart.tip(holder);
    const tell = (n) => {
      const each = ordered[n];
      box.show(...places[n], places, make("b", {}, each.words), make("div", {}, `${group.metric} ${score(each)}`),
        make("div", {}, `${titles[cost]}: ${show(each[cost])}`));
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

  return {
    show(points, where) {
      // Another order of the table is the same picture.
      const picture = JSON.stringify([where, axis.value, points.map((each) => [each.href, each.value, each.half]).sort()]);
      const same = picture === drawn;
      [shown, group, drawn] = [points, where, picture];
      if (!same) draw();
    },
    watch: () => chart.redrawn(holder, draw),
  };
})();
