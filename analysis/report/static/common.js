// What the pages share: where the data arrive, how numbers are shown, and the address after the #.
"use strict";

const study = {
  index: (data) => { study.data = data; },
  loaded: {},
  run: (id, data) => { study.loaded[id] = data; },
};

const ABSENT = "–";
const missing = (value) => value === null || value === undefined || Number.isNaN(value);

const format = {
  text: (value) => (missing(value) || value === "" ? ABSENT : String(value)),
  score: ({ value, digits }) => (missing(value) ? ABSENT : value.toFixed(digits).replace("-", "−")),
  number: (value) => (missing(value) ? ABSENT : String(Number(value.toPrecision(4))).replace("-", "−")),
  scaled(value) {
    if (missing(value)) return ABSENT;
    for (const [unit, prefix] of [[1e12, " T"], [1e9, " G"], [1e6, " M"], [1e3, " k"]]) {
      if (Math.abs(value) >= unit) return (value / unit).toPrecision(3) + prefix;
    }
    return String(Number(value.toPrecision(4)));
  },
  bytes: (value) => (missing(value) ? ABSENT : `${format.scaled(value)}${value >= 1000 ? "" : " "}B`),
  seconds(value) {
    if (missing(value)) return ABSENT;
    if (value < 60) return `${value.toFixed(1)} s`;
    const minutes = Math.floor(Math.round(value) / 60);
    const pad = (number) => String(number).padStart(2, "0");
    if (minutes < 60) return `${minutes} min ${pad(Math.round(value) % 60)} s`;
    return `${Math.floor(minutes / 60)} h ${pad(minutes % 60)} min`;
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

const pageOf = (id, root = "") => `${root}runs/${encodeURIComponent(id)}.html`;

const STATE_SIGNS = { completed: "✓", running: "◐", queued: "…", planned: "○", preempted: "↺" };

function stateBadge(state) {
  const kind = state in STATE_SIGNS ? state : "trouble";
  return make("span", { class: `state ${kind}` },
    make("span", { "aria-hidden": "true" }, STATE_SIGNS[state] ?? "✗"), ` ${state}`);
}

const address = {
  read: () => Object.fromEntries(new URLSearchParams(location.hash.slice(1))),
  write(values) {
    const kept = Object.entries(values).filter(([, value]) => value);
    const hash = new URLSearchParams(kept).toString();
    history.replaceState(null, "", hash ? `#${hash}` : location.pathname + location.search);
  },
};
