// A page that study report --serve keeps up to date: it is read again once the report is newer.
"use strict";
(() => {
  const { built, root, renews } = document.documentElement.dataset;
  const IDLE = 3000; // milliseconds: whoever types or marks something is not interrupted
  let active = 0;
  for (const type of ["keydown", "pointerdown"]) addEventListener(type, () => { active = Date.now(); });

  async function look() {
    try {
      const answer = await fetch(`${root}report.json`, { cache: "no-store" });
      const now = await answer.json();
      const busy = Date.now() - active < IDLE || !getSelection().isCollapsed;
      if (now.stamp !== built && !busy) location.reload();
    } catch {} // the server has ended, or the report is just being replaced
  }

  setInterval(look, 1000 * renews);
})();
