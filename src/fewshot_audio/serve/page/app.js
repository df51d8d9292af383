// The page: the enrolled classes, asking about a clip, teaching a class.

import { classify, json, request } from "./api.js";
import { hideAnswer, showAnswer } from "./answer.js";
import { makeAnswersTable } from "./answers-table.js";
import { at, el, hideNotice, notify, plural } from "./dom.js";
import { makeBackground } from "./background.js";
import { ClassMarks } from "./class-marks.js";
import { makeClasses } from "./classes.js";
import { makeFolderButton, sendable } from "./chosen-files.js";
import { clipInputElements, makeClipInput, preventStrayDrops } from "./clip-input.js";
import { bundleAddress, makeKeptSound, unkeptRemark } from "./kept-sound.js";
import { showMap } from "./map.js";
import { makeRecording } from "./recording.js";
import { makeReview } from "./review.js";
import { followAddress } from "./tabs.js";

let state = null;
let newClips = []; // files to teach with
let lastFile = null; // the file that was asked about last
let mapClip = null; // its point on the map
let openRecording = null; // opens a file on the timeline
let review = null; // of an index, if the server has one
const marks = new ClassMarks();

// --- the enrolled classes --------------------------------------------------------------------------------------------

async function show(newState) {
  state = newState;
  const { classes } = state;
  at("count").textContent = classes.length || "";
  at("classes-empty").hidden = classes.length > 0;
  at("checkup").hidden = classes.length === 0; // the first thing to do is to teach, and nothing else
  at("class-names").replaceChildren(...classes.map(({ name }) => el("option", { value: name })));
  showClasses(state);
  showKeptSound(state, newClips.length > 0);
  at("version").textContent = `Version ${state.version}`;
  at("teach-name").maxLength = state.limits.name_length;
  questionInput.disabled = at("listen-folder").disabled = classes.every(({ ignored }) => ignored);
  showBackground(state);
  trainingInput.disabled = at("teach-submit").disabled = at("download").disabled = false;
  at("listen-hint").textContent = advice(classes);
  showSaving();
  review?.show(state);
  await Promise.all([refreshMap(), refreshFindings()]);
}

/** Show what a change has made; an answer from before is of other classes. */
async function showChanged(newState) {
  mapClip = null;
  hideAnswer();
  hideAnswers();
  await show(newState);
}

function advice(classes) {
  if (classes.length === 0) return "No sound is taught yet. Teach one first, then ask.";
  if (classes.every(({ ignored }) => ignored)) return "Every sound is ignored. Let one be an answer, then ask.";
  if (classes.length === 1 && !state.unknown) return "Only one sound is taught, so it is the answer for every clip. Teach another one.";
  return "";
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
  status.title = unsaved && !saves ? "They are lost when the server stops. Download the bundle to keep them." : "";
}

async function refreshMap() {
  showMap(await json("/api/map"), mapClip, marks);
}

async function refreshFindings() {
  const { findings, next } = await json("/api/diagnosis");
  at("next-step").hidden = next === null;
  at("next-step-text").textContent = next ?? "";
  at("checkup-empty").hidden = findings.length > 0;
  const head = findings.find(({ kind }) => kind === "head"); // for who wants to know; nobody has to
  at("how-decided").hidden = !head;
  at("how-decided-text").textContent = head?.message ?? "";
  at("findings").replaceChildren(...findings.filter((one) => one !== head).map(({ kind, message }) => el("li", { "data-kind": kind }, message)));
}

// --- ask -------------------------------------------------------------------------------------------------------------

async function ask(files) {
  if (files.length === 1) {
    const [file] = await sendable(files, state.limits.recording_bytes, notify);
    if (!file) return;
    if (file.size > state.limits.upload_bytes) return openRecording(file, tooLongNote(file));
    hideAnswers();
    return askAboutOne(file);
  }
  hideAnswers();
  hideAnswer();
  return working(at("listen-hint"), "", async () => {
    await askAboutSeveral(files, (message) => {
      at("listen-hint").textContent = message;
    }).finally(() => {
      at("listen-hint").textContent = "";
    });
  });
}

const tooLongNote = ({ name }) => `“${name}” is too long for a single answer: it is opened as a long recording instead.`;

async function askAboutOne(file) {
  await working(at("listen-hint"), "Listening …", async () => {
    const answer = await classify(file).catch(async (error) => {
      hideAnswer(); // it is of another clip
      mapClip = null;
      await refreshMap().catch(() => {});
      if (!error.message.includes("too long")) throw error;
      await openRecording(file, tooLongNote(file));
      return null;
    });
    if (answer) await showOne(answer, file);
  });
}

async function showOne(answer, file) {
  lastFile = file;
  mapClip = { ...answer.point, text: `The new clip is nearest to ${answer.best}.` };
  showAnswer(answer, file, state, marks);
  if (answer.revision === state.revision) await refreshMap();
  else await show(await json("/api/state")); // somebody else changed the classes meanwhile
}

// --- teach -----------------------------------------------------------------------------------------------------------

function addNewClips(files) {
  newClips.push(...files);
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
  showKeptSound(state, newClips.length > 0);
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
  const all = newClips.length;
  let added = 0;
  const remarks = [];
  await working(at("teach-hint"), `Adding clips to “${name}” …`, async () => {
    try {
      while (newClips.length) {
        const files = nextBatch();
        if (files.length < all) at("teach-hint").textContent = `Adding clips to “${name}”: ${added} of ${all} so far …`;
        const reply = await teachWith(name, files);
        newClips = newClips.slice(files.length);
        showNewClips();
        mapClip = null;
        hideAnswer();
        added += reply.enrolled;
        remarks.push(...remarksOn(reply, files));
        await show(reply.state);
      }
    } catch (error) {
      if (added) error.message = `Added ${plural(added, "clip")} to “${name}”, then: ${error.message}`;
      throw error;
    } finally {
      at("teach-hint").textContent = "";
    }
    at("teach-name").value = "";
    notify([`Added ${plural(added, "clip")} to “${name}”.`, ...remarks].join(" "), remarks.length ? "warn" : "good");
    at("teach-name").focus();
  });
}

/** As many of the clips as one request takes; the others wait. */
function nextBatch() {
  const { clips, upload_bytes: most } = state.limits;
  let size = 0;
  const count = newClips.slice(0, clips).findIndex((file) => (size += file.size + 1024) > most - 4096);
  return newClips.slice(0, count < 0 ? clips : Math.max(1, count));
}

async function teachWith(name, files) {
  const body = new FormData();
  body.append("name", name);
  for (const file of files) body.append("clips", file);
  const reply = await json("/api/classes", { method: "POST", body });
  const unusable = new Set(reply.rejected.map(({ clip }) => clip));
  const clips = reply.state.classes.find((one) => one.name === reply.name)?.clip_names.slice(-reply.enrolled) ?? [];
  hold(reply.name, clips, files.filter((_, number) => !unusable.has(number)));
  return { ...reply, clips };
}

function remarksOn({ name: taught, clips, state: after, rejected, damaged, duplicates }, files) {
  const problems = rejected.map(({ clip, detail }) => `“${files[clip].name}”: ${detail}`);
  return [
    ...(problems.length ? [`Not used: ${problems.join("; ")}.`] : []),
    ...damaged.map(({ clip, detail }) => `“${files[clip].name}” is ${detail}.`),
    ...duplicates.map(({ clip, name, enrolled_as: other }) => `“${files[clip].name}” is the same recording as “${other}” of “${name}”: it counts twice now.`),
    ...unkeptRemark(after, taught, clips),
  ];
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
  const address = await bundleAddress(state);
  if (address) await working(at("teach-hint"), "", async () => {
    const url = URL.createObjectURL(await (await request(address)).blob());
    el("a", { href: url, download: "recognizer.zip" }).click();
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
  });
}

const limits = () => state.limits;
const questionInput = makeClipInput(clipInputElements("listen", "Record"), ask, limits, true);
makeFolderButton(at("listen-folder"), ask);
const trainingInput = makeClipInput(clipInputElements("teach", "Record a clip"), addNewClips, limits);
const showBackground = makeBackground(() => state, show, working);
const { ask: askAboutSeveral, hide: hideAnswers } = makeAnswersTable({
  marks,
  showOne: (file) => working(at("listen-hint"), "", async () => showOne(await classify(file), file)),
  limits,
  openLong: (file) => openRecording(file, ""),
});
const { showClasses, hold } = makeClasses({ getState: () => state, show: showChanged, working, addTo, marks });
const showKeptSound = makeKeptSound({ getState: () => state, show, working });
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
  review = await makeReview({ onTaught: showChanged, working });
  review.show(state);
} catch (error) {
  notify(error.message);
}
