// Loads a page that asks for it again and again, and puts its new content in the place of the old. Without this script the
// page reloads itself (see the head's noscript).
"use strict";
(() => {
  const main = document.querySelector("main[data-refresh-s]");
  if (!main) return;
  const every = Number(main.dataset.refreshS) * 1000;

  // Nothing changes under somebody's hands.
  const busy = () =>
    document.hidden ||
    main.querySelector("details.menu[open]") ||
    (document.activeElement && document.activeElement.closest("main form"));

  const swap = (from) => {
    for (const id of ["main", "states", "as-of"]) {
      const [old, now] = [document.getElementById(id), from.getElementById(id)];
      if (!old || !now) continue;
      const focused = old.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
      old.replaceChildren(...now.childNodes);
      if (focused) old.querySelector(`[href="${CSS.escape(focused)}"]`)?.focus();
    }
  };

  const load = async () => {
    if (!busy()) {
      try {
        const answer = await fetch(location.href, { credentials: "same-origin", redirect: "error" });
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        if (answer.ok && !busy()) swap(page);
        document.body.classList.remove("stale");
      } catch {
        document.body.classList.add("stale");
      }
    }
    setTimeout(load, every);
  };
  setTimeout(load, every);
})();
