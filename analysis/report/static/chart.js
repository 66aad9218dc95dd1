// Axes, curves and points as SVG, drawn for the width there is.
"use strict";

const chart = (() => {
  const MARGIN = { top: 14, right: 16, bottom: 42, left: 54 };
  const SPAN = 30; // least and most farther apart than this: logarithmic

  // Round steps that give about `count` ticks.
  function ticks(low, high, count) {
    const rough = (high - low) / Math.max(1, count);
    const power = 10 ** Math.floor(Math.log10(rough));
    const digits = [1, 2, 2.5, 5, 10];
    const distance = (digit) => Math.abs(Math.log(digit * power / rough));
    const step = digits.reduce((best, digit) => (distance(digit) < distance(best) ? digit : best)) * power;
    const result = [];
    for (let n = Math.ceil(low / step - 1e-9); n * step <= high + step * 1e-9; n += 1) result.push(n * step);
    return result;
  }

  function linear(values, zero = false) {
    let low = Math.min(...values), high = Math.max(...values);
    if (zero) low = Math.min(0, low);
    const room = (high - low || Math.abs(high) || 1) * 0.06;
    return between(zero && low === 0 ? -room / 2 : low - room, high + room);
  }

  const between = (low, high) => ({
    even: true,
    at: (value) => (value - low) / (high - low),
    ticks: (count) => ticks(low, high, count),
  });

  // Costs: linear, or logarithmic where they span decades; zero stands at the left either way.
  function costs(values) {
    const positive = values.filter((value) => value > 0);
    const least = Math.min(...positive), most = Math.max(...positive);
    if (!positive.length || most <= SPAN * least) {
      return linear(values, Math.min(...values) < most / 3 || values.includes(0));
    }
    const zero = positive.length < values.length;
    const gutter = zero ? 0.12 : 0.03;
    const low = Math.log10(least), high = Math.log10(most);
    const at = (value) => (value > 0 ? gutter + ((Math.log10(value) - low) / (high - low)) * (0.97 - gutter) : 0.03);
    const decades = [];
    for (let n = Math.floor(low); n <= Math.ceil(high); n += 1) {
      for (const digit of high - low > 3 ? [1] : [1, 2, 5]) {
        const tick = digit * 10 ** n;
        if (tick >= least * 0.99 && tick <= most * 1.01) decades.push(tick);
      }
    }
    return { at, ticks: () => [...(zero ? [0] : []), ...decades] };
  }

  // Pairs of a tick and its text; numbers on a linear axis have equal decimals.
  function named(scale, count, show) {
    const found = scale.ticks(Math.max(3, count));
    const texts = found.map(show ?? ((tick) => String(Number(tick.toPrecision(10)))));
    const digits = Math.max(0, ...texts.map((text) => (text.split(".")[1] ?? "").length));
    return found.map((tick, n) => [tick, scale.even && !show && tick ? tick.toFixed(digits) : texts[n]]);
  }

  // Draws the axes; returns the SVG and the functions from values to its coordinates.
  function axes(holder, { x, y, xTitle, yTitle, xFormat, height, label }) {
    const width = Math.max(280, holder.clientWidth || 640);
    const inner = { width: width - MARGIN.left - MARGIN.right, height: height - MARGIN.top - MARGIN.bottom };
    const px = (value) => MARGIN.left + x.at(value) * inner.width;
    const py = (value) => MARGIN.top + (1 - y.at(value)) * inner.height;
    const svg = make("svg", { viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": label });
    const bottom = MARGIN.top + inner.height;
    for (const [tick, text] of named(y, inner.height / 48)) {
      svg.append(make("line", { class: "grid", x1: MARGIN.left, x2: width - MARGIN.right, y1: py(tick), y2: py(tick) }),
        make("text", { x: MARGIN.left - 8, y: py(tick) + 4, "text-anchor": "end" }, text));
    }
    let free = -Infinity;
    for (const [tick, text] of named(x, inner.width / 100, xFormat)) {
      if (px(tick) < free) continue;
      free = px(tick) + 44;
      svg.append(make("line", { class: "axis", x1: px(tick), x2: px(tick), y1: bottom, y2: bottom + 4 }),
        make("text", { x: px(tick), y: bottom + 18, "text-anchor": "middle" }, text));
    }
    svg.append(make("line", { class: "axis", x1: MARGIN.left, x2: width - MARGIN.right, y1: bottom, y2: bottom }),
      make("text", { class: "title", x: width - MARGIN.right, y: bottom + 36, "text-anchor": "end" }, xTitle),
      make("text", { class: "title", x: 0, y: 10 }, yTitle));
    return { svg, px, py, width, bottom };
  }

  // Corners at equal angles, the first at `turn` degrees; of a star every second one is nearer.
  const corners = (count, turn, near = 1) => (r) => {
    const at = Array.from({ length: count }, (_, n) => {
      const [angle, reach] = [(turn + (360 * n) / count) * (Math.PI / 180), 1.25 * r * (n % 2 ? near : 1)];
      return `${(reach * Math.cos(angle)).toFixed(2)},${(reach * Math.sin(angle)).toFixed(2)}`;
    });
    return `M${at.join("L")}z`;
  };

  // By matplotlib's names, as in the figures.
  const SHAPES = {
    o: (r) => `M${-r},0a${r},${r} 0 1,0 ${2 * r},0a${r},${r} 0 1,0 ${-2 * r},0`,
    s: (r) => `M${-r},${-r}h${2 * r}v${2 * r}h${-2 * r}z`,
    D: (r) => `M0,${-1.2 * r}L${1.2 * r},0L0,${1.2 * r}L${-1.2 * r},0z`,
    "^": (r) => `M0,${-1.2 * r}L${1.15 * r},${0.9 * r}L${-1.15 * r},${0.9 * r}z`,
    v: corners(3, 90), "<": corners(3, 180), ">": corners(3, 0), p: corners(5, -90), h: corners(6, -90),
    "*": corners(10, -90, 0.45), P: corners(8, 0, 0.5), X: corners(8, 45, 0.5),
  };

  // Black would vanish on dark ground.
  const paint = (color) => (color === "#000000" ? "currentColor" : color);

  function sign([color, shape], radius = 5) {
    return make("path", { d: (SHAPES[shape] ?? SHAPES.o)(radius), fill: paint(color), "fill-opacity": 0.85 });
  }

  function tip(holder) {
    const box = make("div", { class: "tip", role: "status", hidden: true });
    holder.append(box);
    return {
      // Beside x and y, where it covers the fewest of the points [[x, y]] that somebody may want next.
      show(x, y, others, ...content) {
        box.replaceChildren(...content);
        box.hidden = false;
        const scale = holder.clientWidth / (holder.querySelector("svg")?.viewBox.baseVal.width || holder.clientWidth);
        const [width, height] = [box.offsetWidth, box.offsetHeight];
        const most = holder.clientWidth - width - 4;
        const corners = [-1, 1].flatMap((up) => [12, -12 - width].map((side) => [
          Math.max(0, Math.min(most, x * scale + side)), up < 0 ? y * scale - height - 12 : y * scale + 12,
        ])).concat([[0, 0], [most, 0]]);
        const covered = ([left, top]) => others.filter(([a, b]) => {
          const [dx, dy] = [a * scale - left, b * scale - top];
          return dx > -8 && dx < width + 8 && dy > -8 && dy < height + 8;
        }).length + (top < 0 ? 0.5 : 0);
        const [left, top] = corners.reduce((best, each) => (covered(each) < covered(best) ? each : best));
        box.style.left = `${left}px`;
        box.style.top = `${top}px`;
      },
      hide() { box.hidden = true; },
    };
  }

  // Draws curves over epochs; series: [{ name, points: [[epoch, value]], color, dash }]. The metric
  // says how values are shown; a loss has none.
  function curves(holder, title, metric, series) {
    const write = metric ? (value) => format.score(value, { ...metric, point: 1 }) : (value) => value.toPrecision(4);
    const inPoints = ([epoch, value]) => [epoch, value / (metric?.point ?? 1)];
    const draw = () => {
      const shown = series.filter((each) => each.points.length).map((each) => ({ ...each, points: each.points.map(inPoints) }));
      const all = shown.flatMap((each) => each.points);
      const numbers = (n) => all.map((point) => point[n]);
      // The untrained network's perplexity is a thousand times the trained one's.
      const far = Math.min(...numbers(1)) > 0 && Math.max(...numbers(1)) > SPAN * Math.min(...numbers(1));
      const span = far ? costs(numbers(1)) : linear(numbers(1));
      const canvas = axes(holder, {
        x: linear(numbers(0), true), y: span, xTitle: "epoch", yTitle: far ? "logarithmic" : "", height: 230,
        label: `${title} against the epoch`,
      });
      const { svg, px, py } = canvas;
      for (const { points, color, dash, name } of shown) {
        const path = points.map(([x, y], n) => `${n ? "L" : "M"}${px(x).toFixed(1)},${py(y).toFixed(1)}`).join("");
        svg.append(make("path", { class: "curve", d: path, style: null, stroke: color, "stroke-dasharray": dash }));
        if (points.length <= 30) {
          for (const [x, y] of points) svg.append(make("circle", { cx: px(x), cy: py(y), r: 3, fill: color }));
        }
        svg.append(make("text", { class: "hidden" }, name));
      }
      const cursor = make("line", { class: "cursor", y1: MARGIN.top, y2: canvas.bottom, visibility: "hidden" });
      svg.append(cursor);
      holder.replaceChildren(svg);
      const box = tip(holder);
      svg.addEventListener("pointermove", (event) => {
        const place = (event.offsetX / svg.clientWidth) * canvas.width;
        const near = all.reduce((best, each) => (Math.abs(px(each[0]) - place) < Math.abs(px(best[0]) - place) ? each : best));
        cursor.setAttribute("x1", px(near[0]));
        cursor.setAttribute("x2", px(near[0]));
        cursor.setAttribute("visibility", "visible");
        const lines = shown.map(({ name, points }) => {
          const point = points.reduce((best, each) => (Math.abs(each[0] - near[0]) < Math.abs(best[0] - near[0]) ? each : best));
          return make("div", {}, `${shown.length > 1 ? `${name}: ` : ""}${write(point[1])}`);
        });
        box.show(px(near[0]), py(near[1]), [], make("b", {}, `epoch ${Number(near[0].toPrecision(4))}`), ...lines);
      });
      svg.addEventListener("pointerleave", () => { box.hide(); cursor.setAttribute("visibility", "hidden"); });
    };
    redrawn(holder, draw);
  }

  // The names of the curves worth drawing: the metric first, then the loss and the rest. Two points
  // are no curve, unless there is no other.
  function telling(parts, metric) {
    const names = [...new Set([metric, "loss", ...parts.flatMap((part) => Object.keys(part.curves))])];
    const longest = (name) => Math.max(0, ...parts.map((part) => part.curves[name]?.length ?? 0));
    const there = names.filter(longest), curved = there.filter((name) => longest(name) > 2);
    return curved.length ? curved : there;
  }

  // An exponential moving average; curves of few points stay as they are.
  function smoothed(points, weight) {
    if (points.length <= 30) return points;
    let mean = points[0][1];
    return points.map(([x, y]) => [x, (mean = weight * mean + (1 - weight) * y)]);
  }

  // Draws now, and again when the width changes.
  function redrawn(holder, draw) {
    let width = holder.clientWidth;
    draw();
    new ResizeObserver(() => {
      if (Math.abs(holder.clientWidth - width) < 2) return;
      width = holder.clientWidth;
      draw();
    }).observe(holder);
  }

  return { axes, costs, linear, curves, redrawn, sign, smoothed, telling, tip };
})();
