// The answer to a clip: the verdict, the bars, how unfamiliar it is, its pictures.

import { at, color, el, percent, seconds } from "./dom.js";
import { drawSpectrogram, drawWaveform } from "./pictures.js";

const SHOWN = 6; // bars before "more"

let last = null;
let url = null;

/** Show an answer; `colors` maps class names to colors. */
export function showAnswer(answer, file, state, colors) {
  last = answer;
  at("answer").hidden = false;
  const known = answer.label !== null;
  at("verdict").classList.toggle("unknown", !known);
  at("verdict-swatch").style.background = known ? colors.get(answer.label) : "transparent";
  at("verdict-name").textContent = known ? answer.label : "None of the sounds it knows";
  at("verdict-detail").textContent = known
    ? `${percent(answer.probabilities.find(({ name }) => name === answer.label).probability)} likely`
    : `The closest is “${answer.best}”.`;
  showBars(answer.probabilities, known, colors);
  showDistance(answer, state);
  showPicture(answer, state);
  if (url) URL.revokeObjectURL(url);
  url = URL.createObjectURL(file);
  at("replay").src = url;
}

function showBars(probabilities, known, colors) {
  const bar = ({ name, probability }, index) => {
    const fill = el("span", { class: "fill" });
    fill.style.width = `${100 * probability}%`;
    fill.style.background = colors.get(name) ?? color(0);
    return el(
      "li",
      { class: known && index === 0 ? "best" : "" },
      el("span", { class: "name", title: name }, name),
      el("span", { class: "track", "aria-hidden": "true" }, fill),
      el("span", { class: "value" }, percent(probability)),
    );
  };
  const bars = probabilities.map(bar);
  at("bars").replaceChildren(...bars.slice(0, SHOWN));
  at("bars").classList.toggle("muted", !known);
  const rest = at("more-bars");
  rest.hidden = bars.length <= SHOWN;
  rest.querySelector("summary").textContent = `${bars.length - SHOWN} more`;
  rest.querySelector("ol").replaceChildren(...bars.slice(SHOWN));
}

function showDistance({ unknown_score: score, unknown_threshold: threshold, label }, state) {
  const box = at("distance");
  if (threshold === null) {
    const note = "This bundle was not calibrated: it always answers with the nearest class, and never “none”.";
    box.replaceChildren(el("p", { class: "hint" }, note));
    return;
  }
  const end = Math.max(2 * threshold, 1.1 * score);
  const fill = el("span", { class: "fill" });
  fill.style.width = `${(100 * score) / end}%`;
  const limit = el("span", { class: "limit" });
  limit.style.left = `${(100 * threshold) / end}%`;
  const words = label === null ? "too far to be one of them" : "near enough";
  box.replaceChildren(
    el("p", {}, "Distance to the nearest known sound: ", el("strong", {}, `${score.toFixed(2)}`), ` (${words}; the limit is ${threshold.toFixed(2)})`),
    el("span", { class: `track ${label === null ? "over" : ""}`, "aria-hidden": "true" }, fill, limit),
  );
}

function showPicture({ picture, seconds: length, segments }, state) {
  drawWaveform(at("waveform"), picture.lowest, picture.highest);
  drawSpectrogram(at("spectrogram"), picture);
  at("axis-high").textContent = `${state.sample_rate / 2000} kHz`;
  at("axis-time").textContent = seconds(picture.seconds);
  const filled = picture.seconds - length > 0.05 ? "; the end is repeated to fill the last segment" : "";
  at("picture-caption").textContent =
    `What the network hears: ${seconds(length)} of sound in ${segments} segment${segments === 1 ? "" : "s"} of ${state.segment_seconds} s${filled}.`;
}

export function hideAnswer() {
  last = null;
  at("answer").hidden = true;
}

window.addEventListener("resize", () => last && drawWaveform(at("waveform"), last.picture.lowest, last.picture.highest));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => last && drawWaveform(at("waveform"), last.picture.lowest, last.picture.highest));
