// The page: the enrolled classes, asking about a clip, teaching a class.

import { json, request } from "./api.js";
import { hideAnswer, showAnswer } from "./answer.js";
import { at, color, el, hideNotice, notify, plural } from "./dom.js";
import { makeBackground } from "./background.js";
import { clipInputElements, makeClipInput, preventStrayDrops } from "./clip-input.js";
import { showMap } from "./map.js";
import { makeRecording } from "./recording.js";
import { followAddress } from "./tabs.js";

let state = null;
let newClips = []; // files to teach with
let lastFile = null; // the file that was asked about last
let mapClip = null; // its point on the map
let openRecording = null; // opens a file on the timeline
let typedName = null; // {name, newName} of a renaming that was refused
const colors = new Map(); // by class name; a class keeps its color while the page is open
let nextColor = 0;

// --- the enrolled classes --------------------------------------------------------------------------------------------

async function show(newState) {
  state = newState;
  for (const { name } of state.classes) if (!colors.has(name)) colors.set(name, color(nextColor++));
  const { classes } = state;
  at("count").textContent = classes.length || "";
  at("classes-empty").hidden = classes.length > 0;
  at("class-names").replaceChildren(...classes.map(({ name }) => el("option", { value: name })));
  at("classes").replaceChildren(...classes.map(row));
  at("version").textContent = `Version ${state.version}`;
  at("teach-name").maxLength = state.limits.name_length;
  questionInput.disabled = classes.every(({ ignored }) => ignored);
  showBackground(state);
  trainingInput.disabled = at("teach-submit").disabled = at("download").disabled = false;
  at("listen-hint").textContent = advice(classes);
  showSaving();
  await Promise.all([refreshMap(), refreshFindings()]);
}

function advice(classes) {
  if (classes.length === 0) return "No sound is enrolled yet. Teach one first, then ask.";
  if (classes.every(({ ignored }) => ignored)) return "Every sound is ignored. Let one be an answer, then ask.";
  if (classes.length === 1 && !state.unknown) return "Only one sound is enrolled, so it is the answer for every clip. Teach another one.";
  return "";
}

function row({ name, clips, ignored }) {
  const swatch = el("span", { class: "swatch", "aria-hidden": "true" });
  swatch.style.background = colors.get(name);
  return el(
    "li",
    { class: ignored ? "ignored" : null },
    swatch,
    el("span", { class: "name", title: name }, name),
    el("span", { class: "clips" }, plural(clips, "clip")),
    el("span", { class: "row-actions" },
      el("button", { type: "button", class: "button small", "aria-label": `Add clips to ${name}`, click: () => addTo(name) }, "Add"),
      el("button", { type: "button", class: "button small", "aria-label": `Rename ${name}`, click: () => rename(name) }, "Rename"),
      el("button", { type: "button", class: "button small", "aria-label": `Ignore ${name}`, "aria-pressed": String(ignored), title: "An ignored sound is known, and never an answer", click: () => ignore(name, !ignored) }, ignored ? "Ignored" : "Ignore"),
      el("button", { type: "button", class: "button small", "aria-label": `Remove ${name}`, click: () => remove(name, clips) }, "Remove"),
    ),
  );
}

function showSaving() {
  const status = at("status");
  const { unsaved, saves, save_error: saveError } = state;
  const isBad = saveError || (saves && unsaved);
  status.dataset.kind = isBad ? "bad" : unsaved ? "warn" : "good";
  at("save-problem").hidden = !isBad;
  at("save-problem-text").textContent = saveError ?? "";
  status.textContent = isBad
    ? (unsaved ? `${plural(unsaved, "change")} not on disk` : "The bundle's folder cannot be read")
    : saves ? "All changes saved" : unsaved ? `${plural(unsaved, "change")} in memory only` : "No unsaved changes";
  status.title = unsaved && !saves ? "They are lost when the server stops. Download the bundle to keep them, or start the server with --save." : "";
}

async function refreshMap() {
  showMap(await json("/api/map"), mapClip, colors);
}

async function refreshFindings() {
  const { findings } = await json("/api/diagnosis");
  at("checkup-empty").hidden = findings.length > 0;
  at("findings").replaceChildren(...findings.map(({ kind, message }) => el("li", { "data-kind": kind }, message)));
}

// --- ask -------------------------------------------------------------------------------------------------------------

async function ask([file]) {
  if (file.size > state.limits.upload_bytes) return openRecording(file);
  await working(at("listen-hint"), "Classifying …", async () => {
    const body = new FormData();
    body.append("clip", file);
    const answer = await json("/api/classify", { method: "POST", body }).catch(async (error) => {
      hideAnswer(); // it is of another clip
      mapClip = null;
      await refreshMap().catch(() => {});
      throw error;
    });
    lastFile = file;
    mapClip = { ...answer.point, text: `The new clip is nearest to ${answer.best}.` };
    showAnswer(answer, file, state, colors);
    if (answer.revision === state.revision) await refreshMap();
    else await show(await json("/api/state")); // somebody else changed the classes meanwhile
  });
}

// --- teach -----------------------------------------------------------------------------------------------------------

function addNewClips(files) {
  const available = state.limits.clips - newClips.length;
  if (files.length > available) notify(`At most ${state.limits.clips} clips can be added at once. Add the others afterwards.`);
  newClips.push(...files.slice(0, available));
  showNewClips();
  if (!at("teach-name").value) at("teach-name").focus();
}

function showNewClips() {
  at("new-clips").replaceChildren(
    ...newClips.map((file, i) =>
      el("li", {}, el("span", { class: "name", title: file.name }, file.name),
        el("button", { type: "button", class: "icon", "aria-label": `Leave out ${file.name}`, click: () => leaveOut(i) }, "✕")),
    ),
  );
  at("teach-submit").textContent = newClips.length ? `Teach with ${plural(newClips.length, "clip")}` : "Teach";
}

function leaveOut(index) {
  newClips.splice(index, 1);
  showNewClips();
  (at("new-clips").querySelectorAll("button")[Math.min(index, newClips.length - 1)] ?? at("teach-record")).focus();
}

async function teach(event) {
  event.preventDefault();
  hideNotice();
  const name = at("teach-name").value.trim();
  if (!name) {
    notify("Give the sound a name first.");
    return at("teach-name").focus();
  }
  if (!newClips.length) {
    notify("Add at least one clip of the sound: record it, or choose files.");
    return at("teach-record").focus();
  }
  const files = newClips;
  await working(at("teach-hint"), `Adding clips to “${name}” …`, async () => {
    const body = new FormData();
    body.append("name", name);
    for (const file of files) body.append("clips", file);
    const reply = await json("/api/classes", { method: "POST", body });
    newClips = [];
    at("teach-name").value = "";
    showNewClips();
    mapClip = null;
    hideAnswer();
    await show(reply.state);
    const problems = reply.rejected.map(({ clip: number, detail }) => `“${files[number].name}”: ${detail}`);
    const outcome = `Added ${plural(reply.enrolled, "clip")} to “${name}”.`;
    const damaged = reply.damaged.map(({ clip: number, detail }) => ` “${files[number].name}” is ${detail}.`).join("");
    if (problems.length) notify(`${outcome} Not used: ${problems.join("; ")}.${damaged}`, "warn");
    else if (damaged) notify(outcome + damaged, "warn");
    else notify(outcome, "good");
    at("teach-name").focus();
  });
}

function addTo(name) {
  at("teach-name").value = name;
  at("teach-record").focus();
}

function teachWithLastFile() {
  if (!lastFile || newClips.includes(lastFile)) return at("teach-name").focus();
  addNewClips([lastFile]);
  at("teach-name").focus();
}

async function rename(name) {
  const { revision } = state; // that this is decided on
  at("rename-title").textContent = `Rename “${name}”`;
  at("rename-name").value = typedName?.name === name ? typedName.newName : name;
  const choice = dialogChoice(at("rename-dialog"));
  at("rename-name").select();
  if ((await choice) !== "ok") return;
  const newName = at("rename-name").value.trim();
  typedName = { name, newName };
  await working(at("teach-hint"), "", async () => {
    const headers = { "Content-Type": "application/json" };
    const body = JSON.stringify({ name: newName });
    const newState = await json(classAddress(name, revision), { method: "PATCH", headers, body });
    typedName = null;
    if (!colors.has(newName)) colors.set(newName, colors.get(name));
    hideAnswer();
    await show(newState);
    notify(`Renamed “${name}” to “${newName}”.`, "good");
    focusRow(newName);
  });
}

/** Address of a class as it was at a revision: if it has changed since, the server refuses to change it. */
const classAddress = (name, revision) => `/api/classes?name=${encodeURIComponent(name)}&revision=${revision}`;

async function ignore(name, ignored) {
  const address = `/api/classes/ignored?name=${encodeURIComponent(name)}&ignored=${ignored}&revision=${state.revision}`;
  await working(at("teach-hint"), "", async () => {
    const newState = await json(address, { method: "PUT" });
    hideAnswer();
    await show(newState);
    notify(ignored ? `“${name}” is ignored: it is known, and never an answer.` : `“${name}” may be an answer again.`, "good");
    [...at("classes").querySelectorAll("[aria-pressed]")].find((one) => one.ariaLabel === `Ignore ${name}`)?.focus();
  });
}

async function remove(name, clips) {
  const { revision } = state;
  at("remove-title").textContent = `Remove “${name}”?`;
  at("remove-text").textContent = `This removes the class and its ${plural(clips, "clip")}. The other classes do not change.`;
  if ((await dialogChoice(at("remove-dialog"))) !== "ok") return;
  await working(at("teach-hint"), "", async () => {
    const newState = await json(classAddress(name, revision), { method: "DELETE" });
    mapClip = null;
    hideAnswer();
    await show(newState);
    notify(`Removed “${name}”.`, "good");
    focusRow(null);
  });
}

/** Keep the keyboard's focus on a class; without it on the first class, without any on the name field. */
function focusRow(name) {
  const rows = [...at("classes").querySelectorAll("li")];
  const target = rows.find((item) => item.querySelector(".name").textContent === name) ?? rows[0];
  (target?.querySelector("[aria-label^=Rename]") ?? at("teach-name")).focus();
}

/** Show a dialog; resolves to the value of the button that closed it. */
function dialogChoice(dialog) {
  dialog.returnValue = "cancel"; // for Escape
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue), { once: true }));
}

// --- the rest --------------------------------------------------------------------------------------------------------

/** Do work that takes a moment: show `message` meanwhile, and the error if it fails. */
async function working(hint, message, work) {
  hideNotice();
  hint.textContent = message;
  document.body.classList.add("working");
  try {
    await work();
  } catch (error) {
    if (error.state) await show(error.state).catch(() => {}); // the error itself is what to tell
    notify(error.message);
  } finally {
    document.body.classList.remove("working");
    if (hint.textContent === message) hint.textContent = hint === at("listen-hint") ? advice(state.classes) : "";
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
const questionInput = makeClipInput(clipInputElements("listen", "Record"), ask, limits);
const trainingInput = makeClipInput(clipInputElements("teach", "Record a clip"), addNewClips, limits);
const showBackground = makeBackground(() => state, show, working);
preventStrayDrops();
followAddress();
at("teach").addEventListener("submit", teach);
at("teach-this").addEventListener("click", teachWithLastFile);
at("download").addEventListener("click", download);
at("notice-close").addEventListener("click", hideNotice);
for (const button of document.querySelectorAll("[data-close]")) {
  button.addEventListener("click", () => button.closest("dialog").close("cancel"));
}
try {
  await show(await json("/api/state"));
  openRecording = makeRecording(limits);
} catch (error) {
  notify(error.message);
}
