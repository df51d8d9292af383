// Marking the first events of a recording: what to do next, and a form for whom dragging is not possible.

import { at, hideNotice, notify, plural } from "./dom.js";

/** What to do next, by the number of examples of each label, and whether there was a search. */
export function nextStep(counts, isSearched) {
  if (!counts.size) return "Say what you look for, and drag over the first one in the picture.";
  const [lonely] = [...counts].find(([, count]) => count < 2) ?? [];
  if (lonely) return `Mark one more “${lonely}”: two are needed, five are better.`;
  if (!isSearched) return "Mark more of them, or press “Find the rest”.";
  return "Look through what was found: keep or reject each. “Find again” learns from that.";
}

/** What happens while a recording is searched, by its state. */
export function workStep({ progress, found_until: until, seconds }) {
  if (progress !== "searching") return "Learning from the marks …";
  return until && until < seconds ? `Searching … What was found in the first ${plural(Math.round(until / 60), "minute")} is here already.` : "Searching …";
}

/** Connect the form; `seconds()` returns the length of the recording, and `onMark(start, end)` takes a mark. */
export function makeMarkForm(seconds, onMark) {
  at("mark-by-numbers").addEventListener("submit", (event) => {
    event.preventDefault();
    const [start, end] = ["mark-start", "mark-end"].map((id) => Number(at(id).value));
    if (!(start >= 0 && start < end && end <= seconds())) {
      notify(`Give a start and a later end, in seconds, between 0 and ${seconds().toFixed(2)}.`);
      return at("mark-start").focus();
    }
    hideNotice();
    return onMark(start, end);
  });
}
