"use strict";
(() => {
  const named = (element) => (element.dataset.regions || "").split(" ").filter(Boolean);

  // Pointing at a box, a caption or a phrase highlights everything of the same regions.
  const point = (article, names) => {
    article.classList.toggle("pointing", names.length > 0);
    for (const element of article.querySelectorAll("[data-regions]")) {
      const own = named(element);
      element.classList.toggle("on", own.length > 0 && own.some((name) => names.includes(name)));
    }
    for (const badge of article.querySelectorAll(".badge")) {
      badge.classList.toggle("on", names.includes(badge.dataset.region));
    }
  };

  for (const article of document.querySelectorAll("article.image")) {
    const pointed = (event) => {
      const element = event.target.closest("[data-regions]");
      point(article, element ? named(element) : []);
    };
    article.addEventListener("pointerover", pointed);
    article.addEventListener("pointerleave", () => point(article, []));
    article.addEventListener("focusin", pointed);
    article.addEventListener("focusout", () => point(article, []));
    article.addEventListener("click", (event) => {
      const box = event.target.closest(".box");
      const row = box && article.querySelector(`.region[data-regions="${box.dataset.regions}"]`);
      if (row) row.focus();
    });
    article.addEventListener("keydown", (event) => {
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (!step || !event.target.classList.contains("region")) return;
      const rows = [...article.querySelectorAll(".region")];
      const next = rows[rows.indexOf(event.target) + step];
      event.preventDefault();
      if (next) next.focus();
    });
    const enlarge = article.querySelector(".enlarge");
    enlarge.hidden = false;
    enlarge.addEventListener("click", () => {
      enlarge.textContent = article.classList.toggle("large") ? "Reduce" : "Enlarge";
    });
  }

  const filter = document.getElementById("filter");
  const decision = document.getElementById("decision");
  const shown = document.getElementById("shown");
  const all = shown.textContent;
  const articles = [...document.querySelectorAll("article.image")];
  const sift = () => {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    let left = 0;
    for (const article of articles) {
      const fits = words.every((word) => article.dataset.text.includes(word)) &&
        (!decision.value || article.dataset.decision === decision.value);
      article.hidden = !fits;
      left += fits ? 1 : 0;
    }
    const sifting = words.length > 0 || decision.value !== "";
    shown.textContent = sifting ? `${left} of the ${articles.length} shown` : all;
    document.getElementById("none-left").hidden = left > 0 || articles.length === 0;
  };
  document.getElementById("filters").hidden = articles.length === 0;
  filter.addEventListener("input", sift);
  decision.addEventListener("change", sift);

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
})();
