"use strict";
(() => {
  const form = document.getElementById("filters");
  const gallery = document.getElementById("gallery");
  const bar = document.getElementById("selection");
  const dataset = bar.dataset.dataset;
  const stored = (store, name, fallback) => {
    try { return JSON.parse(store.getItem(name)) ?? fallback; } catch { return fallback; }
  };
  if (matchMedia("(max-width: 860px)").matches) form.querySelector("details").open = false;

  // The two ends of the range of confidences; bars outside it are dimmed.
  const [low, high] = form.querySelectorAll(".range input");
  const showRange = () => {
    document.getElementById("range").textContent =
      low.value === "0" && high.value === "100" ? "any" : `${low.value} to ${high.value} %`;
    for (const bin of document.querySelectorAll("#histogram rect")) {
      const start = Number(bin.dataset.low);
      bin.classList.toggle("out", start + 5 <= Number(low.value) || start >= Number(high.value));
    }
  };
  low.addEventListener("input", () => { if (Number(low.value) > Number(high.value)) low.value = high.value; showRange(); });
  high.addEventListener("input", () => { if (Number(high.value) < Number(low.value)) high.value = low.value; showRange(); });
  document.addEventListener("htmx:oobAfterSwap", showRange);
  document.addEventListener("htmx:afterRequest", showRange);
  showRange();

  // What the pictures show; remembered for all datasets.
  const toggles = [...document.querySelectorAll("[data-toggle]")];
  const applyToggle = (box) => document.body.classList.toggle(`hide-${box.dataset.toggle}`, !box.checked);
  const hiddenParts = stored(localStorage, "fo1-hidden", []);
  for (const box of toggles) {
    box.checked = !hiddenParts.includes(box.dataset.toggle);
    applyToggle(box);
    box.addEventListener("change", () => {
      applyToggle(box);
      localStorage.setItem("fo1-hidden", JSON.stringify(toggles.filter((t) => !t.checked).map((t) => t.dataset.toggle)));
    });
  }

  // Selected images: kept while the page is filtered and left, until they are cleared.
  const key = `fo1-selected-${dataset}`;
  const selected = new Set(stored(sessionStorage, key, []));
  const boxes = () => [...gallery.querySelectorAll(".pick input")];
  const showSelection = () => {
    for (const box of boxes()) {
      box.checked = selected.has(box.value);
      box.closest(".sample").classList.toggle("picked", box.checked);
    }
    bar.hidden = selected.size === 0;
    document.getElementById("num-selected").textContent = selected.size;
    sessionStorage.setItem(key, JSON.stringify([...selected]));
    // Links that act on the selection get the first 16 characters of each id, which is what region ids hold.
    for (const link of document.querySelectorAll("a[data-selection]")) {
      const url = new URL(link.getAttribute("href"), location.href);
      url.searchParams.set("images", [...selected].map((id) => id.slice(0, 16)).join(","));
      link.href = url.pathname + url.search;
    }
  };
  const pick = (box, on) => { selected[on ? "add" : "delete"](box.value); };
  gallery.addEventListener("change", (event) => {
    if (!event.target.matches(".pick input")) return;
    pick(event.target, event.target.checked);
    showSelection();
  });
  bar.addEventListener("click", async (event) => {
    const action = event.target.closest("[data-select]");
    if (!action) return;
    if (action.dataset.select === "page") boxes().forEach((box) => pick(box, true));
    else if (action.dataset.select === "none") selected.clear();
    else await copy([...selected].join("\n"), action);
    showSelection();
  });
  document.addEventListener("htmx:afterSettle", () => {
    showSelection();
    // Links that act on what the filters leave follow the filters.
    for (const link of document.querySelectorAll("a[data-view]")) link.search = location.search;
  });
  addEventListener("pageshow", showSelection);
  showSelection();

  // Saved views are links: the filters are the query of the page. Names are kept in this browser.
  const copy = async (text, button) => {
    const before = button.textContent;
    try { await navigator.clipboard.writeText(text); button.textContent = "Copied"; } catch { prompt("Copy:", text); }
    setTimeout(() => { button.textContent = before; }, 1500);
  };
  document.getElementById("copy-link").addEventListener("click", (event) => copy(location.href, event.target));
  const viewsKey = `fo1-views-${dataset}`;
  const select = document.getElementById("views");
  const showViews = () => {
    const views = stored(localStorage, viewsKey, {});
    select.replaceChildren(new Option("Saved views", ""), ...Object.keys(views).sort().map((name) => new Option(name, name)));
    if (Object.keys(views).length) select.append(new Option("Forget all views", "\n"));
    select.hidden = !Object.keys(views).length;
  };
  document.getElementById("save-view").addEventListener("click", () => {
    const name = prompt("Name of this view:", document.getElementById("total").textContent)?.trim();
    if (!name) return;
    localStorage.setItem(viewsKey, JSON.stringify({ ...stored(localStorage, viewsKey, {}), [name]: location.search }));
    showViews();
  });
  select.addEventListener("change", () => {
    if (select.value === "\n") { localStorage.removeItem(viewsKey); showViews(); }
    else if (select.value) location.href = location.pathname + stored(localStorage, viewsKey, {})[select.value];
  });
  showViews();

  // x selects the image in focus, b shows or hides boxes.
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input:not([type=radio], [type=checkbox]), select, textarea")) return;
    if (event.key === "x") document.activeElement.closest(".sample")?.querySelector(".pick input").click();
    else if (event.key === "b") toggles[0].click();
  });
})();
