"use strict";
(() => {
  // Pointing at a box or a row of the list marks both.
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

  // j and k move through what the page lists, / goes to its search, g and a letter to a page.
  const step = (by) => {
    const all = [...document.querySelectorAll("[data-step]")];
    if (!all.length) return;
    const at = all.indexOf(document.activeElement.closest("[data-step]"));
    const next = all[at < 0 ? (by > 0 ? 0 : all.length - 1) : Math.min(all.length - 1, Math.max(0, at + by))];
    next.focus();
    next.scrollIntoView({ block: "nearest" });
  };
  const follow = (name) => document.querySelector(`a[data-key="${name}"]`)?.click();
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.matches("input, select, textarea")) {
      if (event.key !== "Escape") return;
      event.preventDefault(); // a search would empty itself
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

  // Who stands on an entry of a list still stands there when the list comes anew.
  let stood = null;
  document.addEventListener("htmx:beforeSwap", (event) => {
    const entry = document.activeElement.closest("a[data-step]");
    stood = entry && event.detail.target.contains(entry) ? entry.href : null;
  });
  document.addEventListener("htmx:afterSwap", () => {
    if (stood) [...document.querySelectorAll("a[data-step]")].find((entry) => entry.href === stood)?.focus({preventScroll: true});
    stood = null;
  });

  // A part that can no longer be loaded (the login ended, the service restarts) says so.
  const status = document.getElementById("status");
  document.addEventListener("htmx:responseError", (event) => {
    if (event.detail.xhr.status === 401) location.href = "/login";
    else if (status) { status.hidden = false; status.textContent = "This could not be loaded; trying again."; }
  });
  document.addEventListener("htmx:sendError", () => {
    if (status) { status.hidden = false; status.textContent = "The service does not answer; trying again."; }
  });
  document.addEventListener("htmx:afterOnLoad", () => { if (status) status.hidden = true; });
  for (const form of document.querySelectorAll("form[data-ask]")) {
    form.addEventListener("submit", (event) => { if (!confirm(form.dataset.ask)) event.preventDefault(); });
  }
})();
