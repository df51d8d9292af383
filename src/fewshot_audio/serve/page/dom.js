// Small helpers: elements, numbers, the notice. Untrusted text is only ever set as text, never as HTML.

export const at = (id) => document.getElementById(id);

/** Make an element: `el("li", { class: "row" }, "text", child)`. */
export function el(tag, attributes = {}, ...children) {
  return build(document.createElement(tag), attributes, children);
}

/** Make an SVG element. */
export function svg(tag, attributes = {}, ...children) {
  return build(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function build(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value !== undefined && value !== null) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

export const plural = (count, one, many = `${one}s`) => `${count} ${count === 1 ? one : many}`;

export function percent(value) {
  const rounded = Math.round(100 * value);
  if (rounded === 0 && value > 0) return "< 1\u00a0%";
  if (rounded === 100 && value < 1) return "> 99\u00a0%";
  return `${rounded}\u00a0%`;
}

export const seconds = (value) => `${value < 10 ? value.toFixed(1) : Math.round(value)} s`;

/** A time in a recording: 1:05, 1:02:03, and with as many decimals as a step in seconds needs, 0:01.25. */
export function clock(time, step = 1) {
  const decimals = step >= 1 ? 0 : step >= 0.1 ? 1 : 2;
  const rounded = Number(time.toFixed(decimals));
  const hours = Math.floor(rounded / 3600);
  const minutes = Math.floor((rounded % 3600) / 60);
  const rest = (rounded % 60).toFixed(decimals).padStart(decimals ? 3 + decimals : 2, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}

/** Have the browser save a blob as a file. */
export function save(blob, name) {
  const url = URL.createObjectURL(blob);
  el("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

export function notify(message, kind = "error") {
  at("notice").dataset.kind = kind;
  at("notice-text").textContent = message;
  at("notice").hidden = false;
}

export function hideNotice() {
  at("notice").hidden = true;
}
