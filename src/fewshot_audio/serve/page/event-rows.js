// The rows of a recording's events: times, label, score, and what can be done with each.

import { at, clock, el, plural } from "./dom.js";

const MOST_ROWS = 60; // around the selected one; more would only be slow

const precise = (time) => clock(time, 0.01);

/**
 * Show events, of which one is selected. `actions` has `select(key)`, `play(event)`, `decide(key, decision)`,
 * `relabel(key, label)` and `remove(key)`.
 */
export function showRows(events, selectedKey, colorOf, actions) {
  const place = Math.max(0, events.findIndex(({ key }) => key === selectedKey));
  const first = Math.max(0, Math.min(place - MOST_ROWS / 2, events.length - MOST_ROWS));
  const rows = events.slice(first, first + MOST_ROWS).map((event) => row(event, event.key === selectedKey, colorOf, actions));
  at("event-rows").replaceChildren(...rows);
  const others = events.length - rows.length;
  at("event-others").textContent = others > 0 ? `${plural(others, "more event")} before and after these.` : "";
  const selectedRow = at("event-rows").querySelector("[aria-current]");
  if (selectedRow) scrollWithin(at("event-rows"), selectedRow);
}

function row(event, isSelected, colorOf, { select, play, decide, relabel, remove }) {
  const { key, start, end, label, score, isMark, decision } = event;
  const swatch = el("span", { class: "swatch", "aria-hidden": "true" });
  swatch.style.background = colorOf(label);
  const name = `${label}, ${precise(start)}`;
  const button = (text, description, action, pressed) =>
    el("button", { type: "button", class: "button small", tabindex: isSelected ? "0" : "-1", "aria-label": `${description} ${name}`, "aria-pressed": pressed === undefined ? null : String(pressed), click: action }, text);
  const toggle = (value) => () => decide(key, decision === value ? null : value);
  return el(
    "li",
    { class: `event ${decision ?? (isMark ? "mark" : "open")}`, "aria-current": isSelected ? "true" : null, "data-start": start.toFixed(3), "data-end": end.toFixed(3), click: (click) => click.target.closest("button, input") || select(key) },
    swatch,
    el("span", { class: "times-of-event" }, `${precise(start)} – ${precise(end)}`),
    isMark
      ? el("input", { type: "text", class: "row-label", value: label, maxlength: "100", tabindex: isSelected ? "0" : "-1", "aria-label": `Name of the event at ${precise(start)}`, change: ({ target }) => relabel(key, target.value.trim() || label) })
      : el("span", { class: "name", title: label }, label),
    el("span", { class: "score" }, isMark ? "marked" : `${decision === "yes" ? "✓ " : decision === "no" ? "✗ " : ""}${score.toFixed(2)}`),
    el("span", { class: "row-actions" },
      button("▶", "Play", () => play(event)),
      ...(isMark
        ? [button("✕", "Remove", () => remove(key))]
        : [button("Yes", "Keep", toggle("yes"), decision === "yes"), button("No", "Reject", toggle("no"), decision === "no")])),
  );
}

/** Scroll a list, and only the list, so that one of its items can be seen. */
function scrollWithin(list, item) {
  const [outer, inner] = [list.getBoundingClientRect(), item.getBoundingClientRect()];
  if (inner.top < outer.top) list.scrollTop += inner.top - outer.top;
  else if (inner.bottom > outer.bottom) list.scrollTop += inner.bottom - outer.bottom;
}
