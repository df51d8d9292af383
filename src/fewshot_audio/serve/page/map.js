// The map: a point for every enrolled clip, a class's name beside its middlemost clip, a ring for the new clip.

import { at, plural, svg, percent } from "./dom.js";
import { pointOf } from "./class-marks.js";

const WIDTH = 640;
const MARGIN = 44;

/** Draw the map; `clip` is {x, y, text} of the new clip, or null. */
export function showMap(map, clip, marks) {
  const allPoints = clip ? [...map.points, clip] : map.points;
  at("map-card").hidden = !map.points.length;
  at("map").replaceChildren();
  at("map-caption").textContent = "";
  if (!map.points.length) return;

  const phone = at("map").clientWidth < 480;
  const size = phone ? 26 : 15; // on a phone the drawing shrinks, its text must not
  const height = phone ? 600 : 400;
  const place = fit(allPoints, height);
  const classes = Map.groupBy ? Map.groupBy(map.points, ({ name }) => name) : group(map.points);
  const drawing = svg("svg", { viewBox: `0 0 ${WIDTH} ${height}`, role: "img", "aria-label": describe(map, classes, clip) });
  for (const point of map.points) {
    const [x, y] = place(point);
    drawing.append(pointOf(marks.of(point.name), x, y, phone ? 1.5 : 1, svg("title", {}, point.name)));
  }
  const obstacles = map.points.map((point) => box(...place(point), 7, 7));
  for (const [name, points] of classes) {
    drawing.append(label(name, place(middlemost(points)), obstacles, size, height, "class-name"));
  }
  if (clip) {
    const [x, y] = place(clip);
    drawing.append(svg("circle", { cx: x, cy: y, r: 11, class: "new-ring" }), svg("circle", { cx: x, cy: y, r: 4, class: "new-dot" }));
    obstacles.push(box(x, y, 12, 12));
    drawing.append(label("new clip", [x, y], obstacles, size, height, "new-name"));
  }
  at("map").append(drawing);
  const explained = map.explained[0] + map.explained[1];
  at("map-caption").textContent = explained
    ? `Every clip is a point; clips that sound alike to the recognizer lie close together. The picture shows ${percent(explained)} of the differences between them.`
    : "There is only one clip yet, or all clips are the same.";
}

/** One scale for both axes, so that distances can be compared. */
function fit(points, height) {
  const [left, right] = range(points, "x");
  const [bottom, top] = range(points, "y");
  const scale = Math.min((WIDTH - 2 * MARGIN) / (right - left || 1), (height - 2 * MARGIN) / (top - bottom || 1));
  return ({ x, y }) => [
    WIDTH / 2 + (right > left ? scale * (x - (left + right) / 2) : 0),
    height / 2 - (top > bottom ? scale * (y - (bottom + top) / 2) : 0),
  ];
}

const range = (points, axis) => [Math.min(...points.map((p) => p[axis])), Math.max(...points.map((p) => p[axis]))];

const mean = (points, axis) => points.reduce((sum, point) => sum + point[axis], 0) / points.length;

/** The clip nearest to the mean of a class: the mean itself may lie among the clips of others. */
function middlemost(points) {
  const [x, y] = [mean(points, "x"), mean(points, "y")];
  const distance = (point) => Math.hypot(point.x - x, point.y - y);
  return points.reduce((best, point) => (distance(point) < distance(best) ? point : best));
}

const box = (x, y, width, height) => ({ x, y, width, height }); // half the width, half the height

const overlap = (one, other) =>
  Math.max(0, one.width + other.width - Math.abs(one.x - other.x)) *
  Math.max(0, one.height + other.height - Math.abs(one.y - other.y));

/** Draw a name near its point, where it overlaps least with the obstacles; it becomes one of them. */
function label(name, [x, y], obstacles, size, height, kind) {
  const text = name.length > 24 ? `${name.slice(0, 23)}…` : name;
  const half = 0.33 * size * text.length;
  let best = null;
  for (const up of [-1.2, 1.4, -2.4, 2.6, -3.6, 3.8, 0]) {
    for (const aside of [0, -0.6, 0.6, -1.2, 1.2]) {
      const place = box(
        Math.max(half + 4, Math.min(WIDTH - half - 4, x + aside * half)),
        Math.max(size, Math.min(height - size, y + up * size)),
        half,
        0.65 * size,
      );
      const distance = Math.abs(up) * size + Math.abs(aside) * half;
      const cost = 4 * distance + obstacles.reduce((sum, other) => sum + overlap(place, other), 0);
      if (!best || cost < best.cost) best = { ...place, cost };
    }
  }
  obstacles.push(best);
  return svg("text", { x: best.x, y: best.y + size / 3, class: kind }, text);
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
