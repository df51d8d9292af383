// The page: what is known, what is asked, what is taught.

import { json, request } from "./api.js";
import { hideAnswer, showAnswer } from "./answer.js";
import { at, color, el, notify, plural, quiet } from "./dom.js";
import { guardDrops, intakeOf, makeIntake } from "./intake.js";
import { showMap } from "./map.js";

let state = null;
let staged = [];
let asked = null; // the file that was last asked about
let clip = null; // where it lies on the map
const colors = new Map(); // a class keeps its color while the page is open
let given = 0;

// --- what is known ---------------------------------------------------------------------------------------------------

async function show(fresh) {
  state = fresh;
  for (const { name } of state.classes) if (!colors.has(name)) colors.set(name, color(given++));
  const { classes } = state;
  at("count").textContent = classes.length || "";
  at("known-empty").hidden = classes.length > 0;
  at("known-names").replaceChildren(...classes.map(({ name }) => el("option", { value: name })));
  at("classes").replaceChildren(...classes.map(row));
  at("version").textContent = `Version ${state.version}`;
  at("teach-name").maxLength = state.limits.name_length;
  listen.disabled = !classes.length;
  lessons.disabled = at("teach-submit").disabled = at("download").disabled = false;
  at("listen-hint").textContent = advice(classes.length);
  showSaving();
  await Promise.all([refreshMap(), refreshFindings()]);
}

function advice(count) {
  if (count === 0) return "It knows no sound yet. Teach it one first, then ask.";
  if (count === 1 && !state.unknown) return "It knows one sound only, so that is its answer to everything. Teach it another.";
  return "";
}

function row({ name, clips }) {
  const swatch = el("span", { class: "swatch", "aria-hidden": "true" });
  swatch.style.background = colors.get(name);
  return el(
    "li",
    {},
    swatch,
    el("span", { class: "name", title: name }, name),
    el("span", { class: "clips" }, plural(clips, "clip")),
    el("span", { class: "row-actions" },
      el("button", { type: "button", class: "button small", "aria-label": `Add clips to ${name}`, click: () => addTo(name) }, "Add"),
      el("button", { type: "button", class: "button small", "aria-label": `Rename ${name}`, click: () => rename(name) }, "Rename"),
      el("button", { type: "button", class: "button small", "aria-label": `Remove ${name}`, click: () => remove(name, clips) }, "Remove"),
    ),
  );
}

function showSaving() {
  const status = at("status");
  const { unsaved, saves, save_error: failed } = state;
  status.dataset.kind = failed ? "bad" : unsaved ? "warn" : "good";
  status.textContent = failed
    ?? (saves ? "All changes saved" : unsaved ? `${plural(unsaved, "change")} in memory only` : "No unsaved changes");
  status.title = unsaved && !saves ? "They end with the server. Download the bundle to keep them, or start the server with --save." : "";
}

async function refreshMap() {
  showMap(await json("/api/map"), clip, colors);
}

async function refreshFindings() {
  const { findings } = await json("/api/diagnosis");
  at("checkup-empty").hidden = findings.length > 0;
  at("findings").replaceChildren(...findings.map(({ kind, message }) => el("li", { "data-kind": kind }, message)));
}

// --- ask -------------------------------------------------------------------------------------------------------------

async function ask([file]) {
  await working(at("listen-hint"), "Listening to it …", async () => {
    const body = new FormData();
    body.append("clip", file);
    const answer = await json("/api/classify", { method: "POST", body });
    asked = file;
    clip = { ...answer.point, text: `The new clip is nearest to ${answer.best}.` };
    showAnswer(answer, file, state, colors);
    if (answer.revision === state.revision) await refreshMap();
    else await show(await json("/api/state")); // somebody else taught it meanwhile
  });
}

// --- teach -----------------------------------------------------------------------------------------------------------

function stage(files) {
  const room = state.limits.clips - staged.length;
  if (files.length > room) notify(`${state.limits.clips} clips at once are the most; the rest can follow.`);
  staged.push(...files.slice(0, room));
  showStaged();
  if (!at("teach-name").value) at("teach-name").focus();
}

function showStaged() {
  at("staged").replaceChildren(
    ...staged.map((file, i) =>
      el("li", {}, el("span", { class: "name", title: file.name }, file.name),
        el("button", { type: "button", class: "icon", "aria-label": `Leave out ${file.name}`, click: () => leaveOut(i) }, "✕")),
    ),
  );
  at("teach-submit").textContent = staged.length ? `Teach with ${plural(staged.length, "clip")}` : "Teach";
}

function leaveOut(index) {
  staged.splice(index, 1);
  showStaged();
  (at("staged").querySelectorAll("button")[Math.min(index, staged.length - 1)] ?? at("teach-record")).focus();
}

async function teach(event) {
  event.preventDefault();
  quiet();
  const name = at("teach-name").value.trim();
  if (!name) {
    notify("Give the sound a name first.");
    return at("teach-name").focus();
  }
  if (!staged.length) {
    notify("Add at least one clip of the sound: record it, or choose files.");
    return at("teach-record").focus();
  }
  const files = staged;
  await working(at("teach-hint"), `Learning ${name} …`, async () => {
    const body = new FormData();
    body.append("name", name);
    for (const file of files) body.append("clips", file);
    const done = await json("/api/classes", { method: "POST", body });
    staged = [];
    at("teach-name").value = "";
    showStaged();
    clip = null;
    hideAnswer();
    await show(done.state);
    const left = done.rejected.map(({ clip: number, detail }) => `“${files[number].name}”: ${detail}`);
    if (left.length) notify(`Learned ${plural(done.enrolled, "clip")} of “${name}”. Not used: ${left.join("; ")}.`, "warn");
    else notify(`Learned ${plural(done.enrolled, "clip")} of “${name}”.`, "good");
    at("teach-name").focus();
  });
}

function addTo(name) {
  at("teach-name").value = name;
  at("teach-record").focus();
}

function teachThis() {
  if (!asked || staged.includes(asked)) return at("teach-name").focus();
  stage([asked]);
  at("teach-name").focus();
}

async function rename(name) {
  at("rename-title").textContent = `Rename “${name}”`;
  at("rename-name").value = name;
  const decided = answered(at("rename-dialog"));
  at("rename-name").select();
  if ((await decided) !== "ok") return;
  const wanted = at("rename-name").value.trim();
  await working(at("teach-hint"), "", async () => {
    const headers = { "Content-Type": "application/json" };
    const body = JSON.stringify({ name: wanted });
    const fresh = await json(`/api/classes?name=${encodeURIComponent(name)}`, { method: "PATCH", headers, body });
    if (!colors.has(wanted)) colors.set(wanted, colors.get(name));
    hideAnswer();
    await show(fresh);
    notify(`“${name}” is “${wanted}” now.`, "good");
    focusRow(wanted);
  });
}

async function remove(name, clips) {
  at("remove-title").textContent = `Remove “${name}”?`;
  at("remove-text").textContent = `It forgets the class and its ${plural(clips, "clip")}. The other classes stay as they are.`;
  if ((await answered(at("remove-dialog"))) !== "ok") return;
  await working(at("teach-hint"), "", async () => {
    const fresh = await json(`/api/classes?name=${encodeURIComponent(name)}`, { method: "DELETE" });
    clip = null;
    hideAnswer();
    await show(fresh);
    notify(`“${name}” is removed.`, "good");
    focusRow(null);
  });
}

/** Keep the keyboard where it was: on the class, or else on the first one, or on the name field. */
function focusRow(name) {
  const rows = [...at("classes").querySelectorAll("li")];
  const found = rows.find((item) => item.querySelector(".name").textContent === name) ?? rows[0];
  (found?.querySelector("[aria-label^=Rename]") ?? at("teach-name")).focus();
}

function answered(dialog) {
  dialog.returnValue = "cancel"; // what Escape means
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue), { once: true }));
}

// --- the rest --------------------------------------------------------------------------------------------------------

/** Do something that takes a moment: say so, and say what went wrong. */
async function working(hint, words, work) {
  quiet();
  hint.textContent = words;
  document.body.classList.add("working");
  try {
    await work();
  } catch (error) {
    notify(error.message);
  } finally {
    document.body.classList.remove("working");
    if (hint.textContent === words) hint.textContent = hint === at("listen-hint") ? advice(state.classes.length) : "";
  }
}

async function download() {
  await working(at("teach-hint"), "", async () => {
    const url = URL.createObjectURL(await (await request("/api/bundle")).blob());
    el("a", { href: url, download: "recognizer.zip" }).click();
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
  });
}

const limits = () => state.limits;
const listen = makeIntake(intakeOf("listen", "Record"), ask, limits);
const lessons = makeIntake(intakeOf("teach", "Record a clip"), stage, limits);
guardDrops();
at("teach").addEventListener("submit", teach);
at("teach-this").addEventListener("click", teachThis);
at("download").addEventListener("click", download);
at("notice-close").addEventListener("click", quiet);
for (const button of document.querySelectorAll("[data-close]")) {
  button.addEventListener("click", () => button.closest("dialog").close("cancel"));
}
try {
  await show(await json("/api/state"));
} catch (error) {
  notify(error.message);
}
