// The answers for several files: a row for each, and a table of them to download.

import { json } from "./api.js";
import { at, el, percent, plural } from "./dom.js";
import { markOf } from "./class-marks.js";

const COLUMNS = ["file", "label", "score", "unknown_score", "best", "status", "remark"];

/**
 * Connect the table; `marks` gives each class its color and shape, and `showOne(answer, file)` shows an answer in full.
 * Returns `ask(files, report)`, which asks about one file after the other, and `hide()`.
 */
export function makeAnswersTable(marks, showOne) {
  let records = [];
  let round = 0; // a new question ends the former one

  async function ask(files, report) {
    const own = ++round;
    records = [];
    at("answers").hidden = false;
    at("answer-rows").replaceChildren();
    for (const [number, file] of files.entries()) {
      report(`Classifying ${number + 1} of ${files.length}: ${file.name}`);
      const body = new FormData();
      body.append("clip", file);
      let record;
      try {
        const answer = await json("/api/classify", { method: "POST", body });
        record = recordOf(file.name, answer);
        if (own === round) at("answer-rows").append(row(record, (current) => open(current, answer, file)));
      } catch (error) {
        if (error.status !== 422) throw error; // it is not about this file
        record = { file: file.name, status: "error", remark: error.message };
        if (own === round) at("answer-rows").append(row(record));
      }
      if (own !== round) return;
      records.push(record);
      at("answers-count").textContent = summary();
    }
  }

  function recordOf(file, { label, best, probabilities, unknown_score: unknownScore, damage }) {
    const { probability } = probabilities.find(({ name }) => name === (label ?? best));
    return { file, label: label ?? "unknown", score: probability, unknown_score: unknownScore, best, status: label === null ? "unknown" : "ok", remark: damage };
  }

  /** Show a row's answer in full, below the table. */
  async function open(current, answer, file) {
    await showOne(answer, file);
    for (const one of at("answer-rows").children) one.ariaCurrent = one === current ? "true" : null;
    at("answer").scrollIntoView({ block: "nearest" });
  }

  function row({ file, label, score, status, best, remark }, onOpen) {
    const isKnown = status === "ok";
    const answer = status === "error" ? "not used" : isKnown ? label : `none (closest: ${best})`;
    return el(
      "tr",
      {},
      el("th", { scope: "row" }, onOpen ? el("button", { type: "button", class: "link", click: ({ target }) => onOpen(target.closest("tr")) }, file) : file),
      el("td", { class: "answer-name" }, ...(isKnown ? [markOf(marks.of(label))] : []), answer, ...(remark ? [el("p", { class: "hint" }, remark)] : [])),
      el("td", { class: "value" }, isKnown ? percent(score) : ""),
    );
  }

  function summary() {
    const counts = new Map();
    for (const { status, label } of records) {
      const name = status === "ok" ? `“${label}”` : status === "error" ? "not used" : "none of the sounds";
      counts.set(name, (counts.get(name) ?? 0) + 1);
    }
    return `${plural(records.length, "file")}: ${[...counts].map(([name, count]) => `${count} ${name}`).join(", ")}.`;
  }

  function download() {
    const quoted = (value) => (/[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value);
    const lines = [COLUMNS, ...records.map((record) => COLUMNS.map((name) => record[name] ?? ""))];
    const text = lines.map((values) => values.map((value) => quoted(typeof value === "number" ? value.toFixed(4) : value)).join(",")).join("\n");
    const url = URL.createObjectURL(new Blob([`${text}\n`], { type: "text/csv" }));
    el("a", { href: url, download: "answers.csv" }).click();
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
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
