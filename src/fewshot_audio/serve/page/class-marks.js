// A color and a shape for each class: twenty colors before one comes again, and then with another shape.

import { el, svg } from "./dom.js";

const HUES = [172, 24, 265, 340, 210, 45, 130, 300, 85, 190, 320, 0, 230, 107, 282, 65, 150, 248, 34, 12];
const SHAPES = ["circle", "square", "triangle", "diamond", "cross", "star"];
const PATHS = { // around 0, 0, with a radius of 6
  circle: "M-6 0A6 6 0 1 0 6 0A6 6 0 1 0 -6 0Z",
  square: "M-5.3 -5.3H5.3V5.3H-5.3Z",
  triangle: "M0 -6.5L6.5 5H-6.5Z",
  diamond: "M0 -7.5L6.5 0L0 7.5L-6.5 0Z",
  cross: "M-2.2 -6.5H2.2V-2.2H6.5V2.2H2.2V6.5H-2.2V2.2H-6.5V-2.2H-2.2Z",
  star: "M0 -7.5L2.2 -2.3L7.5 -2.3L3.3 1.2L4.8 6.8L0 3.5L-4.8 6.8L-3.3 1.2L-7.5 -2.3L-2.2 -2.3Z",
};

const hue = (index) => HUES[index % HUES.length];

/** A color that is seen on the page. */
export const color = (index) => `hsl(${hue(index)} var(--class-saturation) var(--class-lightness))`;

/** A color that is seen on a spectrogram. */
export const bright = (index) => `hsl(${hue(index)} 85% 68%)`;

/** The marks of the classes by name; a class keeps its mark while the page is open. */
export class ClassMarks {
  #numbers = new Map();
  #next = 0;

  /** The color and shape of a class. */
  of(name) {
    if (!this.#numbers.has(name)) this.#numbers.set(name, this.#next++);
    const number = this.#numbers.get(name);
    return { color: color(number), shape: SHAPES[number % SHAPES.length] };
  }

  rename(name, newName) {
    if (!this.#numbers.has(newName) && this.#numbers.has(name)) this.#numbers.set(newName, this.#numbers.get(name));
  }
}

/** A class's mark beside its name. */
export function markOf({ color: fill, shape }) {
  const element = el("span", { class: `swatch ${shape}`, "aria-hidden": "true" });
  element.style.background = fill;
  return element;
}

/** A class's mark as a point of a drawing. */
export function pointOf({ color: fill, shape }, x, y, size, ...children) {
  const point = svg("path", { d: PATHS[shape], transform: `translate(${x} ${y}) scale(${size})`, class: "dot" }, ...children);
  point.style.fill = fill;
  return point;
}
