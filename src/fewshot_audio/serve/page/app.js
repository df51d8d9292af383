// The page: the enrolled classes, asking about a clip; teaching, the timeline and the review have modules of their own.

import { classify, json, request } from "./api.js";
import { hideAnswer, showAnswer } from "./answer.js";
import { makeAnswersTable } from "./answers-table.js";
import { at, el, hideNotice, notify, plural, save } from "./dom.js";
import { makeBackground } from "./background.js";
import { ClassMarks } from "./class-marks.js";
import { makeClasses } from "./classes.js";
import { makeFolderButton, sendable } from "./chosen-files.js";
import { clipInputElements, makeClipInput, preventStrayDrops } from "./clip-input.js";
import { bundleAddress, makeKeptSound } from "./kept-sound.js";
import { showMap } from "./map.js";
import { makeRecording } from "./recording.js";
import { makeReview } from "./review.js";
import { followAddress } from "./tabs.js";
import { makeTeaching } from "./teach.js";

let state = null;
let lastFile = null; // the file that was asked about last
let mapClip = null; // its point on the map
let openRecording = null; // opens a file on the timeline
let jobs = 0; // that run
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
  showKeptSound(state, teaching.waiting().length > 0);
  at("version").textContent = `Version ${state.version}`;
  teaching.enable();
  questionInput.disabled = at("listen-folder").disabled = classes.every(({ ignored }) => ignored);
  showBackground(state);
  at("download").disabled = false;
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

/** Show what was taught: an answer from before does not know of it, a table of answers is kept. */
function showMore(newState) {
  mapClip = null;
  hideAnswer();
  return show(newState);
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

// --- the rest --------------------------------------------------------------------------------------------------------

function teachWithLastFile() {
  if (lastFile && !teaching.waiting().includes(lastFile)) teaching.add([lastFile]);
  at("teach-name").focus();
}

/** Say in the page that something is on its way, until the last of it is done. */
async function busy(work) {
  jobs += 1;
  document.body.classList.add("working");
  try {
    return await work();
  } finally {
    jobs -= 1;
    document.body.classList.toggle("working", jobs > 0);
  }
}

/** Do work that takes a moment: show `message` meanwhile, and the error if it fails. */
const working = (hint, message, work) => busy(() => report(hint, message, work));

async function report(hint, message, work) {
  hideNotice();
  hint.textContent = message;
  try {
    await work();
  } catch (error) {
    if (error.state) await show(error.state).catch(() => {}); // the error itself is what to tell
    notify(error.message);
  } finally {
    if (hint.textContent === message) hint.textContent = hint === at("listen-hint") ? advice(state.classes) : "";
  }
}

async function download() {
  const address = await bundleAddress(state);
  if (address) await working(at("teach-hint"), "", async () => save(await (await request(address)).blob(), "recognizer.zip"));
}

const limits = () => state.limits;
const questionInput = makeClipInput(clipInputElements("listen", "Record"), ask, limits, true);
makeFolderButton(at("listen-folder"), ask);
const showBackground = makeBackground(() => state, show, working);
const { ask: askAboutSeveral, hide: hideAnswers } = makeAnswersTable({
  marks,
  showOne: (file) => working(at("listen-hint"), "", async () => showOne(await classify(file), file)),
  limits,
  openLong: (file) => openRecording(file, ""),
});
const { showClasses, hold } = makeClasses({ getState: () => state, show: showChanged, working, addTo: (name) => teaching.addTo(name), marks });
const teaching = makeTeaching({
  getState: () => state,
  showTaught: showMore,
  onClips: () => showKeptSound(state, teaching.waiting().length > 0),
  working,
  hold,
});
const showKeptSound = makeKeptSound({ getState: () => state, show, working });
preventStrayDrops();
followAddress();
at("teach-this").addEventListener("click", teachWithLastFile);
at("download").addEventListener("click", download);
at("notice-close").addEventListener("click", hideNotice);
for (const button of document.querySelectorAll("[data-close]")) {
  button.addEventListener("click", () => button.closest("dialog").close("cancel"));
}
await busy(async () => {
  await show(await json("/api/state"));
  openRecording = makeRecording(limits);
  review = await makeReview({ onTaught: showChanged, working });
  review.show(state);
}).catch((error) => notify(error.message));
