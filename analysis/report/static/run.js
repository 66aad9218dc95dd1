// The page of a run: its curves, and buttons that copy.
"use strict";
(() => {
  for (const holder of document.querySelectorAll(".copy")) {
    const button = make("button", { type: "button" }, "Copy");
    button.addEventListener("click", async () => {
      const code = holder.querySelector("code");
      try {
        await navigator.clipboard.writeText(code.textContent);
        button.textContent = "Copied";
      } catch {
        // Not every browser lets a file have the clipboard; a selection is the next best.
        getSelection().selectAllChildren(code);
        button.textContent = "Selected";
      }
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    });
    holder.append(button);
  }

  const holder = document.getElementById("charts");
  const data = study.loaded[document.querySelector("h1").dataset.id];
  if (!holder || !data) return;
  const { curves, metrics, row } = data;
  const order = chart.telling([data], row.metric);
  const draw = (into, name) => {
    const box = make("div", { class: "chart" });
    into.append(make("div", {}, make("h3", {}, metrics[name]?.name ?? name), box));
    chart.curves(box, name, metrics[name], [{ name, points: curves[name], color: "var(--a)" }]);
  };
  for (const name of order.slice(0, 2)) draw(holder, name);
  if (order.length > 2) {
    const rest = make("div", { class: "charts" });
    const more = make("details", {}, make("summary", {}, `${order.length - 2} more`), rest);
    holder.after(more);
    more.addEventListener("toggle", () => { for (const name of order.slice(2)) draw(rest, name); }, { once: true });
  }
})();
