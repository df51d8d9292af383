// The answers for several files: a row for each, and a table of them to download.

import { classify } from "./api.js";
import { nameOf, problemOf } from "./chosen-files.js";
import { at, el, percent, plural, save } from "./dom.js";
import { markOf } from "./class-marks.js";

const ABOUT_THE_FILE = [408, 413, 422]; // statuses of errors that other files do not have
const COLUMNS = ["file", "label", "score", "unknown_score", "best", "status", "remark"];

/**
 * Connect the table; `marks` gives each class its color and shape, `showOne(file)` shows the answer for a file in full, `limits()`
 * returns the server's limits, and `openLong(file)` opens a long recording.
 * Returns `ask(files, report)`, which asks about one file after the other, and `hide()`.
 */
export function makeAnswersTable({ marks, showOne, limits, openLong }) {
  let records = [];
  let round = 0; // a new question ends the former one

  async function ask(files, report) {
    const own = ++round;
    records = [];
    at("answers").hidden = false;
    at("answer-rows").replaceChildren();
    for (const [number, file] of files.entries()) {
      report(`Listening to ${number + 1} of ${files.length}: ${nameOf(file)}`);
      const record = await recordFor(file);
      if (own !== round) return;
      records.push(record);
      at("answer-rows").append(row(record, file));
      at("answers-count").textContent = summary(files.length);
    }
  }

  async function recordFor(file) {
    const problem = await problemOf(file, limits().upload_bytes);
    if (problem) return unused(file, problem);
    try {
      return recordOf(file, await classify(file));
    } catch (error) {
      if (!ABOUT_THE_FILE.includes(error.status)) throw error;
      return unused(file, error.message);
    }
  }

  /** A file without an answer; a long recording may have its events found all the same. */
  function unused(file, remark) {
    const isLong = file.size <= limits().recording_bytes && (file.size > limits().upload_bytes || remark.includes("too long"));
    return { file: nameOf(file), status: "error", remark, isLong };
  }

  function recordOf(file, { label, best, probabilities, unknown_score: unknownScore, damage }) {
    const { probability } = probabilities.find(({ name }) => name === (label ?? best));
    return { file: nameOf(file), label: label ?? "unknown", score: probability, unknown_score: unknownScore, best, status: label === null ? "unknown" : "ok", remark: damage };
  }

  /** Show a row's answer in full, below the table. */
  async function open(current, file) {
    await showOne(file);
    for (const one of at("answer-rows").children) one.ariaCurrent = one === current ? "true" : null;
    at("answer").scrollIntoView({ block: "nearest" });
  }

  function row({ file: name, label, score, status, best, remark, isLong }, file) {
    const link = (text, click) => el("button", { type: "button", class: "link", click }, text);
    const isKnown = status === "ok";
    const isUnused = status === "error";
    const answer = isUnused ? "not used" : isKnown ? label : `none (closest: ${best})`;
    return el(
      "tr",
      {},
      el("th", { scope: "row" }, isUnused ? name : link(name, ({ target }) => open(target.closest("tr"), file))),
      el("td", { class: "answer-name" },
        ...(isKnown ? [markOf(marks.of(label))] : []), answer,
        ...(remark ? [el("p", { class: "hint" }, remark)] : []),
        ...(isLong ? [el("p", { class: "hint" }, link("Open it as a long recording", () => openLong(file)))] : [])),
      el("td", { class: "value" }, isKnown ? percent(score) : ""),
    );
  }

  function summary(total) {
    const counts = new Map();
    for (const { status, label } of records) {
      const name = status === "ok" ? `“${label}”` : status === "error" ? "not used" : "none of the sounds";
      counts.set(name, (counts.get(name) ?? 0) + 1);
    }
    const all = records.length < total ? `${records.length} of ${total} files` : plural(total, "file");
    return `${all}: ${[...counts].map(([name, count]) => `${count} ${name}`).join(", ")}.`;
  }

  function download() {
    const quoted = (value) => (/[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value);
    const lines = [COLUMNS, ...records.map((record) => COLUMNS.map((name) => record[name] ?? ""))];
    const text = lines.map((values) => values.map((value) => quoted(typeof value === "number" ? value.toFixed(4) : value)).join(",")).join("\n");
    save(new Blob([`${text}\n`], { type: "text/csv" }), "answers.csv");
  }

  at("answers-download").addEventListener("click", download);
  return {
    ask,
    hide: () => {
      round += 1;
      at("answers").hidden = true;
    },
  };
}
