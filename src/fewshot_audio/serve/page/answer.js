// The answer for a clip: the class, the probabilities, the distance to the nearest class, the picture.

import { at, el, percent, seconds } from "./dom.js";
import { drawSpectrogram, drawWaveform } from "./canvas.js";

const MAX_BARS = 6; // the others are behind "more"

let shownAnswer = null;
let clipUrl = null;

/** Show an answer; `marks` gives each class its color and shape. */
export function showAnswer(answer, file, state, marks) {
  shownAnswer = answer;
  at("answer").hidden = false;
  at("answer-file").textContent = file.name;
  const isKnown = answer.label !== null;
  at("verdict").classList.toggle("unknown", !isKnown);
  at("verdict-swatch").className = isKnown ? `swatch ${marks.of(answer.label).shape}` : "swatch";
  at("verdict-swatch").style.background = isKnown ? marks.of(answer.label).color : "transparent";
  at("verdict-name").textContent = isKnown ? answer.label : "None of your sounds";
  const detail = isKnown
    ? `${percent(answer.probabilities.find(({ name }) => name === answer.label).probability)} likely`
    : `The closest is “${answer.best}”.`;
  at("verdict-detail").textContent = answer.damage ? `${detail}${isKnown ? "." : ""} The file is ${answer.damage}.` : detail;
  const ignored = new Set(state.classes.filter((one) => one.ignored).map(({ name }) => name));
  showBars(answer.probabilities.filter(({ name }) => !ignored.has(name)), isKnown, marks);
  showDistance(answer);
  showPicture(answer, state);
  if (clipUrl) URL.revokeObjectURL(clipUrl);
  clipUrl = URL.createObjectURL(file);
  at("replay").src = clipUrl;
}

function showBars(probabilities, isKnown, marks) {
  const bar = ({ name, probability }, index) => {
    const fill = el("span", { class: "fill" });
    fill.style.width = `${100 * probability}%`;
    fill.style.background = marks.of(name).color;
    return el(
      "li",
      { class: isKnown && index === 0 ? "best" : "" },
      el("span", { class: "name", title: name }, name),
      el("span", { class: "track", "aria-hidden": "true" }, fill),
      el("span", { class: "value" }, percent(probability)),
    );
  };
  const bars = probabilities.map(bar);
  at("bars").replaceChildren(...bars.slice(0, MAX_BARS));
  at("bars").classList.toggle("muted", !isKnown);
  const more = at("more-bars");
  more.hidden = bars.length <= MAX_BARS;
  more.querySelector("summary").textContent = `${bars.length - MAX_BARS} more`;
  more.querySelector("ol").replaceChildren(...bars.slice(MAX_BARS));
}

function showDistance({ unknown_score: score, unknown_threshold: threshold, label, background }) {
  const box = at("distance");
  if (threshold === null) {
    const note = "This recognizer cannot say “none of your sounds”: the answer is always one of them.";
    box.replaceChildren(el("p", { class: "hint" }, note));
    return;
  }
  const end = Math.max(2 * threshold, 1.1 * score);
  const fill = el("span", { class: "fill" });
  fill.style.width = `${(100 * score) / end}%`;
  const limit = el("span", { class: "limit" });
  limit.style.left = `${(100 * threshold) / end}%`;
  const isKnown = label !== null;
  const [name, verdict] = background === null
    ? ["How far from the nearest of your sounds", isKnown ? "near enough" : "too far to be one of them"]
    : ["How far from your sounds, or like the background", isKnown ? "near enough" : "too much to be one of them"];
  box.replaceChildren(
    el("p", {}, `${name}: `, el("strong", {}, `${score.toFixed(2)}`), ` (${verdict}; the limit is ${threshold.toFixed(2)})`),
    el("span", { class: `track ${isKnown ? "" : "over"}`, "aria-hidden": "true" }, fill, limit),
    ...(background === null ? [] : [el("p", {}, "Like the background or ignored sounds: ", el("strong", {}, percent(background)), " (none of yours from 50\u00a0% on)")]),
  );
}

function showPicture({ picture, seconds: length, segments }, state) {
  drawWaveform(at("waveform"), picture.lowest, picture.highest);
  drawSpectrogram(at("spectrogram"), picture);
  at("axis-high").textContent = `${state.sample_rate / 2000} kHz`;
  at("axis-time").textContent = seconds(picture.seconds);
  const filling = picture.seconds - length > 0.05 ? "; the last one is filled up" : "";
  at("picture-caption").textContent =
    `What the recognizer hears: ${seconds(length)} of sound in ${segments} piece${segments === 1 ? "" : "s"} of ${state.segment_seconds} s${filling}.`;
}

function redrawWaveform() {
  if (shownAnswer) drawWaveform(at("waveform"), shownAnswer.picture.lowest, shownAnswer.picture.highest);
}

export function hideAnswer() {
  shownAnswer = null;
  at("answer").hidden = true;
}

window.addEventListener("resize", redrawWaveform);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redrawWaveform);
