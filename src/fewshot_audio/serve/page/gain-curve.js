// The curve of what a review gains: windows with the sound, by windows that were looked at.

import { el, svg } from "./dom.js";

const WIDTH = 320;
const HEIGHT = 90;

/** Draw into `figure`; `found[i]` windows were found after `looks[i]` looks. */
export function makeGainCurve(figure, looks, found) {
  figure.hidden = looks.length === 0;
  if (!looks.length) return;
  const most = Math.max(1, found.at(-1));
  const last = looks.at(-1);
  const points = looks.map((look, i) => `${(WIDTH * look) / last},${HEIGHT - (HEIGHT * found[i]) / most}`);
  const picture = svg("svg", { viewBox: `-4 -4 ${WIDTH + 8} ${HEIGHT + 8}`, class: "gain-curve", "aria-hidden": "true" },
    svg("polyline", { points: [`0,${HEIGHT}`, ...points].join(" "), fill: "none", stroke: "currentColor", "stroke-width": 2 }));
  figure.replaceChildren(picture, el("figcaption", { class: "hint" }, `Found after each look: ${found.at(-1)} of ${last}`));
}
