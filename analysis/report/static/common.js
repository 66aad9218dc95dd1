// What the pages share: where the data arrive, how numbers are shown, and the address after the #.
"use strict";

const study = {
  index: (data) => { study.data = data; },
  loaded: {},
  pages: {}, // what each does once it is shown, in a report of one file
  run: (id, data) => { study.loaded[id] = data; },
  at: (path) => path, // of a page; in a report of one file they have other addresses
};

const ABSENT = "–";
const missing = (value) => value === null || value === undefined || Number.isNaN(value);

// Three significant digits, trailing zeros too.
function three(value, unit) {
  if (missing(value)) return ABSENT;
  if (!value) return "0";
  const exponent = Number((value / unit).toExponential(2).split("e")[1]);
  return (value / unit).toFixed(Math.max(0, 2 - exponent));
}

const format = {
  text: (value) => (missing(value) || value === "" ? ABSENT : String(value)),
  // A metric is shown in points, as in plugins/contracts/metric.py; the rest is study/units.py.
  score: (value, { point, digits }) => (missing(value) ? ABSENT : (value / point).toFixed(digits)),
  giga: (macs) => three(macs, 1e9),
  mega: (parameters) => three(parameters, 1e6),
  gibi: (size) => three(size, 2 ** 30),
  seconds(value) {
    if (missing(value)) return ABSENT;
    if (value < 9.95) return `${value.toFixed(1)} s`;
    const whole = Math.round(value), minutes = Math.floor(whole / 60), hours = Math.floor(minutes / 60);
    const pad = (number) => String(number).padStart(2, "0");
    if (hours) return `${hours} h ${pad(minutes % 60)} min`;
    return minutes ? `${minutes} min ${pad(whole % 60)} s` : `${whole} s`;
  },
  day: (value) => (missing(value) ? ABSENT : String(value).slice(0, 16).replace("T", " ")),
  entry: (value) => (typeof value === "string" ? value : JSON.stringify(value)),
};

// Makes an element; text is always text. Attributes that are null or false are left out.
function make(name, attributes = {}, ...children) {
  const svg = make.svg.has(name);
  const element = svg ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}
make.svg = new Set(["svg", "g", "path", "circle", "line", "text", "rect"]);

const pageOf = (id) => study.at(`runs/${encodeURIComponent(id)}.html`);

const STATE_SIGNS = { completed: "✓", running: "◐", queued: "…", planned: "○", preempted: "↺" };

function stateBadge(state) {
  const kind = state in STATE_SIGNS ? state : "trouble";
  return make("span", { class: `state ${kind}` },
    make("span", { "aria-hidden": "true" }, STATE_SIGNS[state] ?? "✗"), ` ${state}`);
}

const address = {
  text: () => location.hash.slice(1 + address.page.length),
  page: "", // what stands before it in a report of one file
  read: () => Object.fromEntries(new URLSearchParams(address.text())),
  write(values) {
    const pairs = Array.isArray(values) ? values : Object.entries(values);
    const hash = address.page + new URLSearchParams(pairs.filter(([, value]) => value)).toString();
    history.replaceState(null, "", hash ? `#${hash}` : location.pathname + location.search);
  },
};
