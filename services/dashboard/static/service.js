"use strict";
(() => {
  // Pointing at a box or its row in the list highlights both.
  const point = (host, number) => {
    host.classList.toggle("pointing", number !== null);
    for (const element of host.querySelectorAll("[data-region]")) {
      element.classList.toggle("on", element.dataset.region === number);
    }
  };
  document.addEventListener("pointerover", (event) => {
    const host = event.target.closest?.(".points");
    if (!host) return;
    const element = event.target.closest("[data-region]");
    point(host, element ? element.dataset.region : null);
  });
  document.addEventListener("pointerout", (event) => {
    const host = event.target.closest?.(".points");
    if (host && !host.contains(event.relatedTarget)) point(host, null);
  });
  document.addEventListener("focusin", (event) => {
    const element = event.target.closest("[data-region]");
    const host = event.target.closest(".points");
    if (host) point(host, element ? element.dataset.region : null);
  });

  // j and k move through the page's list, / focuses its search field, 1 to 3 open the main pages.
  const step = (by) => {
    const rows = [...document.querySelectorAll("[data-step]")];
    if (!rows.length) return;
    const index = rows.indexOf(document.activeElement.closest("[data-step]"));
    const next = rows[index < 0 ? (by > 0 ? 0 : rows.length - 1) : Math.min(rows.length - 1, Math.max(0, index + by))];
    next.focus();
    next.scrollIntoView({ block: "nearest" });
  };
  const follow = (name) => document.querySelector(`a[data-key="${name}"]`)?.click();
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.matches("input:not([type=radio], [type=checkbox]), select, textarea")) {
      if (event.key !== "Escape") return;
      event.preventDefault(); // by default Escape empties a search field
      event.target.blur();
      return;
    }
    if (event.key === "j") step(1);
    else if (event.key === "k") step(-1);
    else if (event.key === "ArrowLeft") follow("left");
    else if (event.key === "ArrowRight") follow("right");
    else if (event.key === "Escape") follow("up");
    else if (event.key === "/") {
      const search = document.querySelector("input[type=search]");
      if (!search) return;
      event.preventDefault();
      search.focus();
      search.select();
    } else if ("123".includes(event.key)) follow(event.key);
  });

  // Keep the focus on an entry of a list when the list is loaded again.
  let focused = null;
  document.addEventListener("htmx:beforeSwap", (event) => {
    const entry = document.activeElement.closest("a[data-step]");
    focused = entry && event.detail.target.contains(entry) ? entry.href : null;
  });
  document.addEventListener("htmx:afterSwap", () => {
    if (focused) [...document.querySelectorAll("a[data-step]")].find((entry) => entry.href === focused)?.focus({preventScroll: true});
    focused = null;
  });

  // Show a message when a part of the page cannot be loaded (the login ended, the service restarts).
  const status = document.getElementById("status");
  document.addEventListener("htmx:responseError", (event) => {
    if (event.detail.xhr.status === 401) location.href = `/login?to=${encodeURIComponent(location.pathname + location.search)}`;
    else if (status) { status.hidden = false; status.textContent = "This could not be loaded; trying again."; }
  });
  document.addEventListener("htmx:sendError", () => {
    if (status) { status.hidden = false; status.textContent = "The service does not answer; trying again."; }
  });
  document.addEventListener("htmx:afterOnLoad", () => { if (status) status.hidden = true; });
  for (const field of document.querySelectorAll("[data-submits]")) {
    field.addEventListener("change", () => field.form.submit());
  }
  for (const form of document.querySelectorAll("form[data-ask]")) {
    form.addEventListener("submit", (event) => { if (!confirm(form.dataset.ask)) event.preventDefault(); });
  }
})();
