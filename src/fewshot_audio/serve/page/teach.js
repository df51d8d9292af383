// Teaching: clips and a name become a class, or more clips of one. What is typed or added meanwhile is the next one's.

import { json } from "./api.js";
import { at, el, hideNotice, notify, plural } from "./dom.js";
import { clipInputElements, makeClipInput } from "./clip-input.js";
import { unkeptRemark } from "./kept-sound.js";

/**
 * Connect the form. `getState()` returns the state, `showTaught(state)` shows one with more clips, `onClips()` is told that
 * clips wait or no longer wait, `working(hint, message, work)` does work and reports its error, and
 * `hold(name, clips, files)` lets clips be played. Returns `add(files)`, `addTo(name)`, `waiting()`, the clips that are not
 * sent yet, and `enable()`, which the first state calls.
 */
export function makeTeaching({ getState, showTaught, onClips, working, hold }) {
  let clips = []; // files to teach with
  let isSending = false;
  const input = makeClipInput(clipInputElements("teach", "Record a clip"), add, () => getState().limits);

  function enable() {
    at("teach-name").maxLength = getState().limits.name_length;
    input.disabled = false;
    at("teach-submit").disabled = isSending;
  }

  function add(files) {
    clips.push(...files);
    showClips();
    if (!at("teach-name").value) at("teach-name").focus();
  }

  function addTo(name) {
    at("teach-name").value = name;
    at("teach-record").focus();
  }

  function showClips() {
    at("new-clips").replaceChildren(
      ...clips.map((file) =>
        el("li", {}, el("span", { class: "name", title: file.name }, file.name),
          el("button", { type: "button", class: "icon", "aria-label": `Leave out ${file.name}`, click: () => leaveOut(file) }, "✕")),
      ),
    );
    onClips();
    at("teach-submit").textContent = clips.length ? `Teach with ${plural(clips.length, "clip")}` : "Teach";
  }

  function leaveOut(file) {
    const index = clips.indexOf(file);
    clips.splice(index, 1);
    showClips();
    (at("new-clips").querySelectorAll("button")[Math.min(index, clips.length - 1)] ?? at("teach-record")).focus();
  }

  async function teach(event) {
    event.preventDefault();
    if (isSending) return;
    hideNotice();
    const name = at("teach-name").value.trim();
    if (!name) {
      notify("Give the sound a name first.");
      return at("teach-name").focus();
    }
    if (!clips.length) {
      notify("Add at least one clip of the sound: record it, or choose files.");
      return at("teach-record").focus();
    }
    await working(at("teach-hint"), `Adding clips to “${name}” …`, () => send(name, [...clips]));
  }

  /** Send the clips, as many at once as a request takes. Those that the server has are no longer in the list. */
  async function send(name, files) {
    const all = files.length;
    let added = 0;
    const remarks = [];
    isSending = at("teach-submit").disabled = true;
    try {
      while (files.length) {
        const batch = firstBatch(files);
        if (batch.length < all) at("teach-hint").textContent = `Adding clips to “${name}”: ${all - files.length} of ${all} so far …`;
        const reply = await teachWith(name, batch);
        files = files.slice(batch.length);
        clips = clips.filter((file) => !batch.includes(file));
        showClips();
        added += reply.enrolled;
        remarks.push(...remarksOn(reply, batch));
        if (!files.length) {
          isSending = false;
          finish(name);
        }
        await showTaught(reply.state);
      }
    } catch (error) {
      if (added) error.message = `Added ${plural(added, "clip")} to “${name}”, then: ${error.message}`;
      throw error;
    } finally {
      isSending = at("teach-submit").disabled = false;
      at("teach-hint").textContent = "";
    }
    notify([`Added ${plural(added, "clip")} to “${name}”.`, ...remarks].join(" "), remarks.length ? "warn" : "good");
  }

  /** Make room for the next sound, unless its name is being typed already. */
  function finish(name) {
    if (at("teach-name").value.trim() !== name) return;
    at("teach-name").value = "";
    at("teach-name").focus();
  }

  /** As many of the files as one request takes. */
  function firstBatch(files) {
    const { clips: mostClips, upload_bytes: most } = getState().limits;
    let size = 0;
    const count = files.slice(0, mostClips).findIndex((file) => (size += file.size + 1024) > most - 4096);
    return files.slice(0, count < 0 ? mostClips : Math.max(1, count));
  }

  async function teachWith(name, files) {
    const body = new FormData();
    body.append("name", name);
    for (const file of files) body.append("clips", file);
    const reply = await json("/api/classes", { method: "POST", body });
    const unusable = new Set(reply.rejected.map(({ clip }) => clip));
    const names = reply.state.classes.find((one) => one.name === reply.name)?.clip_names.slice(-reply.enrolled) ?? [];
    hold(reply.name, names, files.filter((_, number) => !unusable.has(number)));
    return { ...reply, names };
  }

  at("teach").addEventListener("submit", teach);
  return { add, addTo, enable, waiting: () => clips };
}

function remarksOn({ name: taught, names, state: after, rejected, damaged, duplicates }, files) {
  const problems = rejected.map(({ clip, detail }) => `“${files[clip].name}”: ${detail}`);
  return [
    ...(problems.length ? [`Not used: ${problems.join("; ")}.`] : []),
    ...damaged.map(({ clip, detail }) => `“${files[clip].name}” is ${detail}.`),
    ...duplicates.map(({ clip, name, enrolled_as: other }) => `“${files[clip].name}” is the same recording as “${other}” of “${name}”: it counts twice now.`),
    ...unkeptRemark(after, taught, names),
  ];
}
