"use strict";
(() => {
  // Lists are shortened only where a button can show the rest.
  document.documentElement.classList.add("live");
  const named = (element) => (element.dataset.regions || "").split(" ").filter(Boolean);

  // The parts of a card by region. Built when a card is first pointed at: it may have thousands.
  const cards = new WeakMap();
  const partsOf = (article) => {
    if (!cards.has(article)) {
      const parts = new Map();
      const add = (name, element) => parts.set(name, [...(parts.get(name) || []), element]);
      for (const element of article.querySelectorAll("[data-regions]")) {
        for (const name of named(element)) add(name, element);
      }
      for (const badge of article.querySelectorAll(".badge")) add(badge.dataset.region, badge);
      cards.set(article, { parts, on: [] });
    }
    return cards.get(article);
  };

  // Pointing at a box, a caption or a phrase highlights everything of the same regions.
  const point = (article, names) => {
    const card = partsOf(article);
    for (const element of card.on) element.classList.remove("on");
    card.on = names.flatMap((name) => card.parts.get(name) || []);
    for (const element of card.on) element.classList.add("on");
    article.classList.toggle("pointing", names.length > 0);
  };
  const regionOf = (article, box) =>
    (partsOf(article).parts.get(box.dataset.regions) || []).find((part) => part.classList.contains("region"));
  const listOf = (more) => more.closest(".chips") || more.previousElementSibling;

  for (const article of document.querySelectorAll("article.image")) {
    const pointed = (event) => {
      const element = event.target.closest("[data-regions]");
      point(article, element ? named(element) : []);
      const region = element && element.matches(".box") && regionOf(article, element);
      if (region) article.querySelector(".stage").title = region.innerText || region.textContent.replace(/\s+/g, " ").trim();
    };
    article.addEventListener("pointerover", pointed);
    article.addEventListener("pointerleave", () => point(article, []));
    article.addEventListener("focusin", pointed);
    article.addEventListener("focusout", () => point(article, []));
    article.addEventListener("click", (event) => {
      const more = event.target.closest(".more");
      if (more) listOf(more).classList.add("all");
      const box = event.target.closest(".box");
      const region = box && regionOf(article, box);
      if (!region) return;
      if (region.offsetParent === null) region.closest(".regions").classList.add("all");
      region.focus();
    });
    article.addEventListener("keydown", (event) => {
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (!step || !event.target.classList.contains("region")) return;
      const item = event.target.parentElement;
      const next = step > 0 ? item.nextElementSibling : item.previousElementSibling;
      event.preventDefault();
      if (next) next.firstElementChild.focus();
    });
    const enlarge = article.querySelector(".enlarge");
    enlarge.hidden = false;
    enlarge.addEventListener("click", () => {
      enlarge.textContent = article.classList.toggle("large") ? "Reduce" : "Enlarge";
    });
  }

  const packer = new ResizeObserver((entries) => {
    for (const { target, borderBoxSize } of entries) {
      target.style.gridRowEnd = `span ${Math.ceil((borderBoxSize[0].blockSize + 16) / 4)}`;
    }
  });
  const wide = matchMedia("(min-width: 1080px)");
  const pack = () => {
    packer.disconnect();
    for (const article of document.querySelectorAll("article.image")) {
      article.style.gridRowEnd = "";
      if (wide.matches) packer.observe(article);
    }
  };
  wide.addEventListener("change", pack);
  pack();

  const theme = document.getElementById("theme");
  const isDark = () => {
    const chosen = document.documentElement.dataset.theme;
    return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  };
  const name = () => { theme.textContent = isDark() ? "Light" : "Dark"; };
  theme.hidden = false;
  theme.addEventListener("click", () => {
    document.documentElement.dataset.theme = isDark() ? "light" : "dark";
    name();
  });
  name();

  const filter = document.getElementById("filter");
  if (!filter) return; // the page of a training run
  const selects = [...document.querySelectorAll("[data-filter]")];
  const shown = document.getElementById("shown");
  const all = shown.textContent;
  const articles = [...document.querySelectorAll("article.image")];
  const sift = () => {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    let left = 0;
    for (const article of articles) {
      const fits = words.every((word) => article.dataset.text.includes(word)) &&
        selects.every(({ value, dataset }) => !value || article.dataset[dataset.filter] === value);
      article.hidden = !fits;
      left += fits ? 1 : 0;
    }
    const sifting = words.length > 0 || selects.some((select) => select.value !== "");
    shown.textContent = sifting ? `${left} of the ${articles.length} shown` : all;
    document.getElementById("none-left").hidden = left > 0 || articles.length === 0;
  };
  document.getElementById("filters").hidden = articles.length === 0;
  filter.addEventListener("input", sift);
  for (const select of selects) select.addEventListener("change", sift);
})();
