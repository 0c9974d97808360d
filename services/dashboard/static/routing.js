"use strict";
(() => {
  // The points were computed by `fo1 route --curve`; moving the slider only shows another one.
  const form = document.getElementById("routing");
  if (!form) return;
  const curve = JSON.parse(form.dataset.curve);
  const points = curve.points;
  const slider = document.getElementById("point");
  const set = (id, text) => { document.getElementById(id).textContent = text; };
  const percent = (share) => `${(100 * share).toFixed(share < 0.1 ? 1 : 0).replace(/\.0$/, "")} %`;
  const most = points[points.length - 1].max_error;
  const place = (point) => [40 + (370 * point.max_error) / most, 180 - 170 * point.accepted_share];
  document.getElementById("accepted").setAttribute("points", points.map((point) => place(point).join(",")).join(" "));
  set("most", percent(most));
  const show = () => {
    const point = points[Number(slider.value)];
    form.elements.max_error.value = point.max_error;
    set("bound", percent(point.max_error));
    set("share", percent(point.accepted_share));
    set("expected", point.expected_error === null ? "–" : percent(point.expected_error));
    set("left", (curve.labels - point.accepted).toLocaleString("en").replaceAll(",", "\u2009"));
    const sample = curve.rows_read < curve.rows_total ? ` Shares are of ${curve.rows_read} of ${curve.rows_total} images.` : "";
    set("told", point.accepted
      ? `The error is at most ${percent(point.max_error)} with a probability of ${percent(curve.confidence_level)}: of ${point.held_out_labels} held-out labels that the rule accepts, ${point.held_out_wrong} are wrong.${sample}`
      : `Nothing can be accepted at this error: judge more images, or allow a higher error.${sample}`);
    set("kinds", Object.entries(point.kinds).map(([kind, count]) => `${kind.replaceAll("_", " ")} ${count}`).join(" · "));
    const [x, y] = place(point);
    const marker = document.getElementById("marker");
    marker.setAttribute("cx", x);
    marker.setAttribute("cy", y);
  };
  slider.max = points.length - 1;
  const first = points.findIndex((point) => point.max_error >= 0.05 && point.accepted);
  slider.value = first < 0 ? points.length - 1 : first;
  slider.addEventListener("input", show);
  show();
})();
