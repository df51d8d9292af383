// Reviewing an index: windows in rounds, a key for each answer, and the recognizer learns after each round.

import { spectrogramImage } from "./canvas.js";
import { at, clock, el, percent, plural, save } from "./dom.js";
import { makeGainCurve } from "./gain-curve.js";
import * as client from "./review-client.js";

const COUNT = 12; // windows of a round
const ANSWERS = { y: "yes", n: "no", o: "other", "?": "unsure", m: "unsure" };
const WORDS = { yes: "yes", no: "no", other: "other class", unsure: "unsure" };
const REVIEWER_KEY = "fewshot-audio-reviewer";

/** `onTaught(state)` is told the recognizer's state; `working(hint, message, work)` shows errors. */
export async function makeReview({ onTaught, working }) {
  const { available, windows } = await client.reviewStatus();
  at("review-tab").hidden = !available;
  if (!available) return { show() {} };
  at("archive-size").textContent = `${plural(windows, "window")} in the archive`;
  const audio = new Audio();
  let cards = []; // of the round: { window, item, answer }
  let current = 0;
  let undoable = null; // the window of which this reviewer spoke last
  let address = null; // of the sound that plays

  const reviewer = () => at("archive-reviewer").value.trim() || "me";
  const asked = () => at("archive-class").value;
  const hint = at("archive-hint");
  const isActive = () => !at("review-part").hidden && cards.length > 0;
  try {
    at("archive-reviewer").value = localStorage.getItem(REVIEWER_KEY) ?? "";
  } catch {
    // a browser that keeps nothing
  }

  function focusCard(place) {
    current = Math.max(0, Math.min(cards.length - 1, place));
    cards.forEach(({ item }, number) => item.setAttribute("tabindex", number === current ? 0 : -1));
    cards[current].item.focus();
  }

  async function play(card = cards[current]) {
    audio.pause();
    await working(hint, "", async () => {
      const sound = await client.windowSound(card.window);
      if (address) URL.revokeObjectURL(address);
      address = URL.createObjectURL(sound);
      audio.src = address;
      await audio.play().catch(() => {}); // another one was asked for meanwhile
    });
  }

  async function answer(card, given, other = "") {
    if (given === "other" && !other) {
      current = cards.indexOf(card);
      at("archive-other").placeholder = `what is in ${card.file}? Then Enter`;
      return at("archive-other").focus();
    }
    await working(hint, "", async () => {
      showProgress(await client.choose({ window: card.window, name: asked(), answer: given, other, reviewer: reviewer() }));
      card.answer = given;
      card.item.dataset.answer = given;
      card.item.querySelector(".said").textContent = given === "other" ? other : WORDS[given];
      const place = cards.indexOf(card);
      const next = [...cards.slice(place + 1), ...cards.slice(0, place)].find((own) => !own.answer);
      if (next) focusCard(cards.indexOf(next));
      else await learn();
    });
  }

  /** Take back what this reviewer said last, in this round or before. */
  async function undo() {
    const window = undoable;
    if (window === null) return;
    await working(hint, "", async () => {
      showProgress(await client.choose({ window, name: asked(), answer: "undo", reviewer: reviewer() }));
      const card = cards.find((own) => own.window === window);
      if (!card) return;
      card.answer = null;
      delete card.item.dataset.answer;
      card.item.querySelector(".said").textContent = "";
      focusCard(cards.indexOf(card));
    });
  }

  /** Let the recognizer learn what was said, and draw the next round. */
  async function learn() {
    await working(hint, "Learning …", async () => {
      await onTaught(await client.teach());
      await draw();
    });
  }

  async function draw() {
    const { windows: drawn } = await client.nextRound(asked(), at("archive-order").value, COUNT, reviewer());
    cards = drawn.map((own) => ({ window: own.window, file: own.file, item: makeCard(own), answer: null }));
    at("archive-grid").replaceChildren(...cards.map(({ item }) => item));
    at("archive-empty").hidden = cards.length > 0;
    showProgress(await client.progressOf(asked(), reviewer()));
    if (cards.length) focusCard(0);
  }

  function makeCard({ window, file, start, end, score }) {
    const card = () => cards.find((own) => own.window === window);
    const picture = el("div", { class: "window-picture" });
    const item = el("li", { class: "window-card", tabindex: -1, "aria-label": `${file}, ${clock(start)} to ${clock(end)}`, focus: () => { current = cards.indexOf(card()); } },
      picture,
      el("p", { class: "window-name" }, file),
      el("p", { class: "hint" }, `${clock(start, 0.1)} – ${clock(end, 0.1)} · `, at("archive-order").value === "search" ? `similarity ${score.toFixed(2)}` : percent(score)),
      el("div", { class: "actions" },
        el("button", { type: "button", class: "button small", click: () => play(card()), "aria-label": `Play ${file} from ${clock(start)}` }, "Play"),
        el("button", { type: "button", class: "button small", click: () => answer(card(), "yes") }, "Yes"),
        el("button", { type: "button", class: "button small", click: () => answer(card(), "no") }, "No"),
        el("button", { type: "button", class: "button small", click: () => answer(card(), "other"), "aria-label": `Other class in ${file} at ${clock(start)}` }, "Other"),
        el("button", { type: "button", class: "button small", click: () => answer(card(), "unsure") }, "Unsure"),
        el("span", { class: "said", role: "status" })));
    client.windowPicture(window).then((view) => {
      const image = spectrogramImage(view);
      image.setAttribute("aria-hidden", "true");
      picture.replaceChildren(image, el("span", { class: "hertz top-hertz" }, `${view.high_hz} Hz`), el("span", { class: "hertz middle-hertz" }, `${view.high_hz / 2} Hz`), el("span", { class: "hertz" }, "0 Hz"));
    }).catch((error) => picture.replaceChildren(el("p", { class: "hint" }, error.message)));
    return item;
  }

  function showProgress(progress) {
    const { yes, no, other, unsure, looks, found, saved } = progress;
    at("archive-count").textContent = `${plural(yes + no + other + unsure, "window")} looked at: ${yes} yes, ${no} no, ${other} other, ${unsure} unsure. ${saved ? "Saved." : "Kept in memory only: download the table to keep it."}`;
    makeGainCurve(at("archive-gain"), looks, found);
    undoable = progress.undoable;
    at("archive-undo").disabled = undoable === null;
  }

  at("archive-start").addEventListener("click", () => working(hint, "Choosing windows …", draw));
  at("archive-learn").addEventListener("click", learn);
  at("archive-undo").addEventListener("click", undo);
  at("archive-reviewer").addEventListener("change", () => {
    try {
      localStorage.setItem(REVIEWER_KEY, at("archive-reviewer").value.trim());
    } catch {
      // a browser that keeps nothing
    }
  });
  at("archive-other").addEventListener("keydown", (event) => {
    const other = at("archive-other").value.trim();
    if (event.key !== "Enter" || !other || !cards.length) return;
    event.preventDefault();
    answer(cards[current], "other", other);
  });
  at("archive-export").addEventListener("click", () => working(hint, "", async () => save(await client.choicesTable(), "choices.csv")));
  at("archive-import").addEventListener("change", () => working(hint, "Reading the table …", async () => {
    const [file] = at("archive-import").files;
    if (!file) return;
    const { added, known } = await client.addTable(file, asked(), reviewer());
    at("archive-import").value = "";
    at("archive-imported").textContent = `${plural(added, "choice")} added, ${known} known already.`;
    await learn();
  }));
  document.addEventListener("keydown", (event) => {
    if (!isActive() || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("input, select, textarea, dialog, [contenteditable]")) return;
    if (event.key === " " && event.target.closest("button, a, summary")) return;
    const key = event.key.toLowerCase();
    const given = ANSWERS[key];
    if (given) answer(cards[current], given);
    else if (key === "u") undo();
    else if (key === " " || key === "p") play();
    else if (key === "j" || key === "arrowright") focusCard(current + 1);
    else if (key === "k" || key === "arrowleft") focusCard(current - 1);
    else return;
    event.preventDefault();
  });

  return {
    /** The classes that can be asked for. */
    show({ classes }) {
      const chosen = asked();
      at("archive-class").replaceChildren(...classes.map(({ name }) => el("option", { value: name }, name)));
      if (classes.some(({ name }) => name === chosen)) at("archive-class").value = chosen;
      at("archive-start").disabled = classes.length === 0;
      at("archive-none").hidden = classes.length > 0;
    },
  };
}
