// The map: every enrolled clip a point, classes named in the middle of theirs, the new clip a ring.

import { at, plural, svg, percent } from "./dom.js";

const WIDTH = 640;
const HEIGHT = 400;
const MARGIN = 44;

/** Draw the map; `clip` is {x, y, text} of the new clip, or null. */
export function showMap(map, clip, colours) {
  const places = clip ? [...map.points, clip] : map.points;
  at("map-empty").hidden = map.points.length > 0;
  at("map").replaceChildren();
  at("map-caption").textContent = "";
  if (!map.points.length) return;

  const place = fit(places);
  const classes = Map.groupBy ? Map.groupBy(map.points, ({ name }) => name) : group(map.points);
  const drawing = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": describe(map, classes, clip) });
  for (const point of map.points) {
    const [x, y] = place(point);
    const dot = svg("circle", { cx: x, cy: y, r: 6, class: "dot" }, svg("title", {}, point.name));
    dot.style.fill = colours.get(point.name);
    drawing.append(dot);
  }
  const taken = [];
  for (const [name, points] of classes) {
    const middle = { x: mean(points, "x"), y: mean(points, "y") };
    drawing.append(label(name, place(middle), taken, "class-name"));
  }
  if (clip) {
    const [x, y] = place(clip);
    drawing.append(svg("circle", { cx: x, cy: y, r: 11, class: "new-ring" }), svg("circle", { cx: x, cy: y, r: 4, class: "new-dot" }));
    drawing.append(label("new clip", [x, y], taken, "new-name"));
  }
  at("map").append(drawing);
  const shown = map.explained[0] + map.explained[1];
  at("map-caption").textContent = shown
    ? `Two of the embedding's many directions; they show ${percent(shown)} of the differences between the enrolled clips.`
    : "The enrolled clips are all alike, or there is only one.";
}

/** One scale for both axes, so that distances can be compared. */
function fit(places) {
  const [left, right] = range(places, "x");
  const [bottom, top] = range(places, "y");
  const scale = Math.min((WIDTH - 2 * MARGIN) / (right - left || 1), (HEIGHT - 2 * MARGIN) / (top - bottom || 1));
  return ({ x, y }) => [
    WIDTH / 2 + (right > left ? scale * (x - (left + right) / 2) : 0),
    HEIGHT / 2 - (top > bottom ? scale * (y - (bottom + top) / 2) : 0),
  ];
}

const range = (places, axis) => [Math.min(...places.map((p) => p[axis])), Math.max(...places.map((p) => p[axis]))];

const mean = (points, axis) => points.reduce((sum, point) => sum + point[axis], 0) / points.length;

/** A name above its place, moved up or down until it covers no other. */
function label(name, [x, y], taken, kind) {
  const text = name.length > 24 ? `${name.slice(0, 23)}…` : name;
  const half = 4.2 * text.length;
  const centre = Math.max(half + 4, Math.min(WIDTH - half - 4, x));
  const free = (at) => at > 14 && at < HEIGHT - 4 && !taken.some((box) => Math.abs(box.y - at) < 17 && Math.abs(box.x - centre) < box.half + half);
  const tries = [-16, 26, -34, 44, -52, 62, -70, 80].map((step) => y + step);
  const line = tries.find(free) ?? Math.max(16, y - 16);
  taken.push({ x: centre, y: line, half });
  return svg("text", { x: centre, y: line, class: kind }, text);
}

function group(points) {
  const classes = new Map();
  for (const point of points) classes.set(point.name, [...(classes.get(point.name) ?? []), point]);
  return classes;
}

function describe(map, classes, clip) {
  const text = `Map of ${plural(map.points.length, "clip")} of ${plural(classes.size, "class", "classes")}: ${[...classes.keys()].join(", ")}.`;
  return clip ? `${text} ${clip.text}` : text;
}
