"use strict";
(() => {
  // Zoom and move by the view box, which is in pixels of the image. Wheel, buttons, keys, drag.
  const host = document.getElementById("zoomed");
  const svg = host.querySelector("svg");
  const full = svg.viewBox.baseVal;
  const [width, height] = [full.width, full.height];
  let view = { x: 0, y: 0, width, height };
  const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
  const badges = [...svg.querySelectorAll(".badge, .badge-text")];
  const show = () => {
    view.x = clamp(view.x, 0, width - view.width);
    view.y = clamp(view.y, 0, height - view.height);
    svg.setAttribute("viewBox", `${view.x} ${view.y} ${view.width} ${view.height}`);
    host.classList.toggle("zoomed", view.width < width);
    // Numbers keep their size on the screen: about the corner of their box.
    const scale = 0.6 * Math.max(view.width / width, 0.2);
    for (const badge of badges) {
      const box = badge.closest(".drawn").querySelector(".box");
      const [x, y] = [box.x.baseVal.value, box.y.baseVal.value];
      badge.setAttribute("transform", `translate(${x} ${y}) scale(${scale}) translate(${-x} ${-y})`);
    }
  };
  show();
  const zoom = (factor, x = view.x + view.width / 2, y = view.y + view.height / 2) => {
    const share = clamp((view.width / width) * factor, 1 / 40, 1);
    const [left, top] = [(x - view.x) / view.width, (y - view.y) / view.height];
    view = { x: x - left * width * share, y: y - top * height * share, width: width * share, height: height * share };
    show();
  };
  const at = (event) => {
    const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    return [point.x, point.y];
  };
  svg.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoom(Math.exp(event.deltaY * 0.0015), ...at(event));
  }, { passive: false });
  svg.addEventListener("dblclick", (event) => zoom(event.shiftKey ? 2 : 0.5, ...at(event)));
  const actions = { in: () => zoom(1 / 1.5), out: () => zoom(1.5), fit: () => zoom(1e9) };
  host.addEventListener("click", (event) => actions[event.target.closest("[data-zoom]")?.dataset.zoom]?.());
  svg.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || view.width >= width) return;
    svg.setPointerCapture(event.pointerId);
    host.classList.add("moving");
    let [x, y] = at(event);
    const move = (moved) => {
      const [nextX, nextY] = at(moved);
      view.x += x - nextX;
      view.y += y - nextY;
      show();
      [x, y] = at(moved);
    };
    svg.addEventListener("pointermove", move);
    svg.addEventListener("pointerup", () => {
      svg.removeEventListener("pointermove", move);
      host.classList.remove("moving");
    }, { once: true });
  });

  // What is shown: boxes, numbers, kinds of labels, decisions.
  const apply = () => {
    for (const box of document.querySelectorAll("[data-show]")) {
      document.body.classList.toggle(`hide-${box.dataset.show}`, !box.checked);
    }
    for (const [name, attribute] of [["showKind", "kind"], ["showDecision", "decision"]]) {
      for (const box of document.querySelectorAll(`[data-show-${attribute}]`)) {
        for (const element of document.querySelectorAll(`[data-${attribute}="${box.dataset[name]}"]`)) {
          element.toggleAttribute("hidden", !box.checked);
          if (element instanceof SVGElement) element.style.display = box.checked ? "" : "none";
        }
      }
    }
  };
  document.querySelector(".kinds").addEventListener("change", apply);

  // Pointing at a phrase or count highlights the regions that it names.
  const detail = document.querySelector(".detail");
  const point = (chip) => {
    const numbers = new Set(chip.dataset.regions.split(" "));
    detail.classList.add("pointing");
    for (const element of detail.querySelectorAll("[data-region]")) {
      element.classList.toggle("on", numbers.has(element.dataset.region));
    }
  };
  for (const chip of detail.querySelectorAll(".chip[data-regions]")) {
    for (const name of ["pointerenter", "focus"]) chip.addEventListener(name, () => setTimeout(() => point(chip)));
  }

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input:not([type=radio], [type=checkbox])")) return;
    if (event.key === "+" || event.key === "=") actions.in();
    else if (event.key === "-") actions.out();
    else if (event.key === "0") actions.fit();
    else if (event.key === "b") document.querySelector("[data-show=boxes]").click();
  });
})();
