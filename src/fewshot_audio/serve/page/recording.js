// A long recording: sent to the server, marked, searched, reviewed, and downloaded as a table.

import { at, clock, el, hideNotice, notify, percent, plural, save } from "./dom.js";
import { bright } from "./class-marks.js";
import { sendable } from "./chosen-files.js";
import { makeFileInput } from "./clip-input.js";
import { EventList } from "./event-list.js";
import { showRows } from "./event-rows.js";
import { ExcerptPlayer } from "./excerpt-player.js";
import { makeMarkForm, nextStep, workStep } from "./marking.js";
import { RecordingClient } from "./recording-client.js";
import { makeTimeline } from "./timeline.js";
import { onReviewKey } from "./review-keys.js";
import { showPart } from "./tabs.js";

const STORE_KEY = "fewshot-audio-recording"; // what a tab keeps while the page is loaded again
const KEEP_ALIVE = 30_000; // ms
const EXTENSIONS = { csv: ".csv", raven: ".selections.txt", audacity: ".labels.txt" };

/** Connect the part of the page; `limits()` returns the server's limits. Returns `open(file, note)`, which tells the note, too. */
export function makeRecording(limits) {
  const list = new EventList();
  const player = new ExcerptPlayer();
  const colors = new Map(); // by label
  let recording = null; // on the server
  let selected = null;
  let working = false;

  const threshold = () => Number(at("threshold").value);
  const isSearched = () => recording?.state.searches > 0 || recording?.state.found_until > 0;
  const shown = () => list.shown(threshold());
  const selectedEvent = () => shown().find(({ key }) => key === selected);
  const colorOf = (label) => {
    if (!colors.has(label)) colors.set(label, bright(colors.size));
    return colors.get(label);
  };
  const timeline = makeTimeline({
    load: (start, end, columns) => recording.spectrogram(start, end, columns),
    onMark: mark,
    onSelect: (key) => {
      selected = key;
      show();
    },
    onResize: (key, start, end) => show(list.change(key, { start, end })),
  });

  function mark(start, end) {
    selected = list.mark(start, end, at("mark-label").value.trim() || "sound");
    show();
  }

  // --- what is shown ---------------------------------------------------------------------------------------------------

  function show() {
    const events = shown();
    if (!events.some(({ key }) => key === selected)) selected = null;
    timeline.show(events, selected, colorOf);
    showRows(events, selected, colorOf, actions);
    const detections = events.filter(({ isMark }) => !isMark);
    const open = detections.filter(({ decision }) => !decision).length;
    const lower = list.all.length - events.length;
    at("threshold-value").textContent = threshold().toFixed(2);
    at("review-count").textContent = isSearched()
      ? `${plural(detections.length, "event")} shown, ${open} of them not looked at yet.${lower ? ` ${lower} more, less sure, ${lower === 1 ? "is" : "are"} hidden.` : ""}`
      : "";
    at("review").hidden = !isSearched();
    at("complete-label").hidden = at("review").hidden === false; // later searches learn from decisions
    at("events-part").hidden = events.length === 0;
    at("undo").disabled = !list.canUndo;
    at("mark-labels").replaceChildren(...list.labels.map((label) => el("option", { value: label })));
    at("find").disabled = working || !canSearch();
    at("find").textContent = isSearched() ? "Find again" : "Find the rest";
    at("table-download").disabled = list.result(threshold()).length === 0;
    at("table-count").textContent = `${plural(list.result(threshold()).length, "event")}: ${isSearched() ? "what you marked or kept, and what is shown and not rejected" : "what you marked"}.`;
    if (!working) at("step").textContent = step();
    if (recording) sessionStorage.setItem(STORE_KEY, JSON.stringify({ id: recording.id, events: list.saved, threshold: threshold() }));
  }

  function showSelected() {
    show();
    if (selectedEvent()) timeline.reveal(selectedEvent());
  }

  const canSearch = () => {
    const counts = list.exampleCounts();
    return counts.size > 0 && [...counts.values()].every((count) => count >= 2);
  };

  const step = () => nextStep(list.exampleCounts(), isSearched());
  function showWork(message, share) {
    working = message !== null;
    at("step").textContent = message ?? step();
    const bar = at("recording-progress");
    bar.hidden = !working;
    if (share === undefined) bar.removeAttribute("value");
    else bar.value = share;
  }

  // --- the recording ---------------------------------------------------------------------------------------------------

  async function open(file, note = "") {
    hideNotice();
    if (!(await sendable([file], limits().recording_bytes, notify)).length) return;
    showPart("recording");
    await close();
    await attempt(async () => {
      at("recording-hint").textContent = "Sending …";
      recording = await RecordingClient.send(file, (share) => {
        at("recording-hint").textContent = share < 1 ? `Sending “${file.name}”: ${percent(share)}` : "Sent. The server stores it …";
      });
      await recording.finish(({ name, seconds }) => {
        at("recording-hint").textContent = `Reading “${name}”: ${clock(seconds)} so far`;
      });
      const { name, progress, error, damage } = recording.state;
      if (progress === "failed") throw new Error(`“${name}” cannot be used: ${error}.`);
      list.saved = [];
      await begin();
      const remarks = [note, damage ? `“${name}” is ${damage}.` : ""].filter(Boolean);
      if (remarks.length) notify(remarks.join(" "), "warn");
    });
    at("recording-hint").textContent = "";
    if (recording?.state.progress === "failed") await close();
  }

  async function begin() {
    selected = null;
    at("recording-start").hidden = true;
    at("recording-work").hidden = false;
    at("recording-name").textContent = recording.state.name;
    at("recording-length").textContent = clock(recording.state.seconds);
    showWork(null);
    await timeline.open(recording.state);
    show();
    at("timeline").focus({ preventScroll: true });
  }

  async function close() {
    const former = recording;
    recording = null;
    player.stop();
    sessionStorage.removeItem(STORE_KEY);
    at("recording-start").hidden = false;
    at("recording-work").hidden = true;
    await former?.close();
  }

  async function find() {
    if (working || !canSearch()) return;
    const searched = recording;
    const complete = at("complete").checked && !isSearched(); // later searches have decisions to go by
    showWork("Learning from the marks …");
    show();
    await attempt(async () => {
      const reply = await searched.search(list.lessons(threshold()), complete, (state) => showWork(workStep(state), state.searched || undefined), showFound);
      if (!reply) return; // closed meanwhile
      showFound(reply.events);
      if (reply.left_out) notify(`Only the ${plural(reply.events.length, "surest event")} are here; ${reply.left_out} more were less sure.`, "warn");
    });
    if (recording !== searched) return;
    showWork(null);
    show();
  }

  /** Show detections; where somebody looks at one of them already, they go on from there. */
  function showFound(events) {
    const former = selectedEvent();
    const since = former && !former.isMark ? former.start : 0;
    list.setDetections(events);
    const open = shown().filter(({ isMark, decision }) => !isMark && !decision);
    selected = (open.find(({ start }) => start >= since) ?? open[0])?.key ?? former?.key ?? null;
    showSelected();
  }

  async function attempt(work) {
    try {
      await work();
    } catch (error) {
      notify(error.message);
      if (error.status === 404 && recording) {
        recording = null; // its files are gone
        await close();
      }
    }
  }

  // --- deciding --------------------------------------------------------------------------------------------------------

  function move(by) {
    const events = shown();
    if (!events.length) return;
    const { start } = timeline.view;
    const here = events.findIndex(({ key }) => key === selected);
    const after = events.findIndex((event) => event.start >= start);
    const next = here >= 0 ? here + by : by > 0 ? Math.max(0, after) : after - 1;
    selected = events[Math.min(events.length - 1, Math.max(0, next))].key;
    showSelected();
  }

  function decide(key, decision) {
    const event = shown().find((one) => one.key === key);
    if (!event || event.isMark) return;
    list.change(key, { decision });
    selected = key;
    if (decision) toNextOpen(event);
    else show();
  }

  function toNextOpen({ start, key }) {
    const open = shown().filter((event) => !event.isMark && !event.decision);
    const next = open.find((event) => event.start >= start && event.key !== key) ?? open[0];
    if (next) selected = next.key;
    showSelected();
  }

  const remove = (key) => show(list.remove(key));

  function undo() {
    selected = list.undo() ?? selected;
    showSelected();
  }

  const play = (part) => part && attempt(() => player.play(recording.id, part));
  const focused = (action) => (...values) => {
    action(...values);
    at("timeline").focus({ preventScroll: true }); // so that the keys go on
  };
  const actions = {
    select: focused((key) => {
      selected = key;
      showSelected();
    }),
    play: focused(play),
    decide: focused(decide),
    remove: focused(remove),
    relabel: (key, label) => show(list.change(key, { label })),
  };

  function playView() {
    const { start, end } = timeline.view;
    if (end - start > 60) return notify("At most 60 s can be played at once: zoom in first.", "warn");
    return play({ start, end });
  }

  const review = {
    next: () => move(1),
    previous: () => move(-1),
    yes: () => decide(selected, "yes"),
    no: () => decide(selected, "no"),
    play: () => (selectedEvent() ? play(selectedEvent()) : playView()),
  };
  for (const [name, action] of Object.entries(review)) at(`review-${name}`).addEventListener("click", focused(action));
  const zooming = { zoomIn: () => timeline.zoom(0.5), zoomOut: () => timeline.zoom(2), all: () => timeline.showAll() };
  for (const [name, id] of Object.entries({ zoomIn: "zoom-in", zoomOut: "zoom-out", all: "zoom-all" })) {
    at(id).addEventListener("click", focused(zooming[name]));
  }
  onReviewKey(() => recording && !at("recording-work").hidden, {
    ...review,
    undo,
    remove: () => selectedEvent()?.isMark && remove(selected),
    ...zooming,
    left: () => timeline.scroll(-0.25),
    right: () => timeline.scroll(0.25),
  });

  const downloadTable = () => attempt(async () => {
    const format = at("table-format").value;
    save(await recording.table(list.result(threshold()), format), recording.state.name.replace(/\.[^.]*$/, "") + EXTENSIONS[format]);
  });

  async function resume() {
    const saved = JSON.parse(sessionStorage.getItem(STORE_KEY) ?? "null");
    if (!saved) return;
    try {
      recording = await RecordingClient.resume(saved.id);
      await recording.finish();
      list.saved = saved.events;
      at("mark-label").value = list.labels.at(-1) ?? "sound";
      at("threshold").value = saved.threshold;
      await begin();
    } catch {
      recording = null;
      await close();
    }
  }

  makeFileInput({ area: at("recording-input"), choose: at("recording-choose"), input: at("recording-file") }, ([file]) => open(file)).disabled = false;
  at("recording-close").addEventListener("click", close);
  at("find").addEventListener("click", find);
  at("undo").addEventListener("click", focused(undo));
  at("play-view").addEventListener("click", focused(playView));
  at("threshold").addEventListener("input", show);
  at("table-download").addEventListener("click", downloadTable);
  makeMarkForm(() => recording.state.seconds, (start, end) => {
    mark(start, end);
    timeline.reveal(selectedEvent());
  });
  setInterval(() => recording && !working && attempt(() => recording.refresh()), KEEP_ALIVE);
  resume();
  return open;
}
