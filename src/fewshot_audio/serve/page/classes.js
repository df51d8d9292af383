// The enrolled classes: a row for each, with its clips, and what can be done with both.

import { json } from "./api.js";
import { at, el, notify, plural } from "./dom.js";
import { markOf } from "./class-marks.js";
import { askName, dialogChoice } from "./dialogs.js";
import { ExcerptPlayer } from "./excerpt-player.js";

const JSON_HEADERS = { "Content-Type": "application/json" };
const NOT_KEPT = "The sound of clips is not kept: one can be played only until the page is closed or loaded again.";
const NO_SOUND = "Clips without ▶ have no sound here: it was not kept when they were taught.";

/**
 * Connect the list. `getState()` returns the state, `show(state)` shows a new one, `working(hint, message, work)` does work
 * and reports its error, `addTo(name)` lets the user add clips, and `marks` gives each class its color and shape.
 * Returns `showClasses(state)` and `hold(name, clips, files)`, which lets clips be played while the page is open.
 */
export function makeClasses({ getState, show, working, addTo, marks }) {
  const files = new Map(); // what a clip's sound was, by class and clip
  const unfolded = new Set(); // names of the classes whose clips are listed
  const player = new ExcerptPlayer();
  let typedName = null; // {name, newName} of a renaming that was refused
  const key = (name, clip) => JSON.stringify([name, clip]);

  /** Ask the server for a change, show the new state, and tell of it. */
  async function change(path, options, message, focus, prepare) {
    await working(at("teach-hint"), "", async () => {
      const state = await json(path, options);
      prepare?.();
      await show(state);
      notify(message, "good");
      focus?.();
    });
  }

  /** Address of a class as it was at a revision: if it has changed since, the server refuses to change it. */
  const address = (name, revision, path = "") => `/api/classes${path}?name=${encodeURIComponent(name)}&revision=${revision}`;
  const clipAddress = (name, clip) => `${address(name, getState().revision, "/clips")}&clip=${encodeURIComponent(clip)}`;
  const patch = (body) => ({ method: "PATCH", headers: JSON_HEADERS, body: JSON.stringify(body) });

  async function rename(name) {
    const { revision } = getState(); // that this is decided on
    const newName = await askName(`Rename “${name}”`, typedName?.name === name ? typedName.newName : name);
    if (!newName) return;
    typedName = { name, newName };
    await change(address(name, revision), patch({ name: newName }), `Renamed “${name}” to “${newName}”.`, () => focusRow(newName), () => {
      typedName = null;
      for (const [held, file] of [...files]) {
        const [own, clip] = JSON.parse(held);
        if (own === name) files.set(key(newName, clip), file);
      }
      if (unfolded.delete(name)) unfolded.add(newName);
      marks.rename(name, newName);
    });
  }

  async function ignore(name, ignored) {
    const path = `/api/classes/ignored?name=${encodeURIComponent(name)}&ignored=${ignored}&revision=${getState().revision}`;
    const message = ignored ? `“${name}” is ignored: it is known, and never an answer.` : `“${name}” may be an answer again.`;
    await change(path, { method: "PUT" }, message, () => focusLabel(`Ignore ${name}`));
  }

  async function remove(name, clips) {
    const { revision } = getState();
    at("remove-title").textContent = `Remove “${name}”?`;
    at("remove-text").textContent = `This removes the sound and its ${plural(clips, "clip")}. The other sounds do not change.`;
    if ((await dialogChoice(at("remove-dialog"))) !== "ok") return;
    await change(address(name, revision), { method: "DELETE" }, `Removed “${name}”.`, () => focusRow(null));
  }

  async function removeClip(name, clip) {
    await change(clipAddress(name, clip), { method: "DELETE" }, `Removed “${clip}” of “${name}”.`, () => focusLabel(`Clips of ${name}`));
  }

  async function renameClip(name, clip) {
    const newName = await askName(`Rename “${clip}” of “${name}”`, clip);
    if (!newName || newName === clip) return;
    if (files.has(key(name, clip))) files.set(key(name, newName), files.get(key(name, clip)));
    await change(clipAddress(name, clip), patch({ name: newName }), `Renamed “${clip}” to “${newName}”.`, () => focusLabel(`Rename clip ${newName}`));
  }

  async function moveClip(name, clip) {
    const newClass = await askName(`Move “${clip}” of “${name}”`, "", { label: "To the sound", action: "Move", list: "class-names" });
    if (!newClass || newClass === name) return;
    if (files.has(key(name, clip))) files.set(key(newClass, clip), files.get(key(name, clip)));
    await change(clipAddress(name, clip), patch({ new_class: newClass }), `Moved “${clip}” from “${name}” to “${newClass}”.`, () => focusLabel(`Clips of ${newClass}`));
  }

  async function undo() {
    const { undoable, revision } = getState();
    await change(`/api/undo?revision=${revision}`, { method: "POST" }, `Undone: ${undoable}.`, () => at("undo-change").focus());
  }

  /** Keep the keyboard's focus on a class; without it on the first class, without any on the name field. */
  function focusRow(name) {
    const rows = [...at("classes").children];
    const target = rows.find((item) => item.querySelector(".name").textContent === name) ?? rows[0];
    (target?.querySelector("[aria-label^=Rename]") ?? at("teach-name")).focus();
  }

  const focusLabel = (label) => [...at("classes").querySelectorAll("button")].find((one) => one.ariaLabel === label)?.focus();

  const button = (text, label, click, attributes = {}) =>
    el("button", { type: "button", class: "button small", "aria-label": label, click, ...attributes }, text);

  function row({ name, clips, clip_names: clipNames, with_sound: withSound, ignored }) {
    const isHeard = (clip) => files.has(key(name, clip)) || withSound.includes(clip);
    const isUnfolded = unfolded.has(name);
    const unfold = () => {
      if (!unfolded.delete(name)) unfolded.add(name);
      showClasses(getState());
      focusLabel(`Clips of ${name}`);
    };
    return el(
      "li",
      { class: ignored ? "ignored" : null },
      markOf(marks.of(name)),
      el("span", { class: "name", title: name }, name),
      button(plural(clips, "clip"), `Clips of ${name}`, unfold, { class: "button small clips", "aria-expanded": String(isUnfolded) }),
      el("span", { class: "row-actions" },
        button("Add", `Add clips to ${name}`, () => addTo(name)),
        button("Rename", `Rename ${name}`, () => rename(name)),
        button(ignored ? "Ignored" : "Ignore", `Ignore ${name}`, () => ignore(name, !ignored), { "aria-pressed": String(ignored), title: "An ignored sound is known, and never an answer" }),
        button("Remove", `Remove ${name}`, () => remove(name, clips)),
      ),
      ...(isUnfolded ? [el("ul", { class: "clip-list", "aria-label": `Clips of ${name}` }, ...clipNames.map((clip) => clipRow(name, clip, clips, isHeard(clip))))] : []),
      ...(isUnfolded && !clipNames.every(isHeard) ? [el("p", { class: "hint" }, getState().keeps_sound ? NO_SOUND : NOT_KEPT)] : []),
    );
  }

  async function play(name, clip) {
    const file = files.get(key(name, clip));
    if (file) return player.playFile(file);
    const path = `/api/classes/clips/sound?name=${encodeURIComponent(name)}&clip=${encodeURIComponent(clip)}`;
    return working(at("teach-hint"), "", () => player.playAddress(path, `${path} ${getState().revision}`));
  }

  function clipRow(name, clip, clips, isHeard) {
    return el(
      "li",
      {},
      el("span", { class: "clip-name", title: clip }, clip),
      el("span", { class: "row-actions" },
        ...(isHeard ? [button("▶", `Play clip ${clip}`, () => play(name, clip))] : []),
        button("Rename", `Rename clip ${clip}`, () => renameClip(name, clip)),
        button("Move", `Move clip ${clip}`, () => moveClip(name, clip)),
        button("Remove", `Remove clip ${clip}`, () => (clips > 1 ? removeClip(name, clip) : remove(name, 1))),
      ),
    );
  }

  function showClasses({ classes, undoable }) {
    at("classes").replaceChildren(...classes.map(row));
    at("undo-change").hidden = undoable === null;
    at("undo-change").textContent = `Undo: ${undoable}`;
  }

  at("undo-change").addEventListener("click", undo);
  return {
    showClasses,
    hold: (name, clips, heard) => clips.forEach((clip, i) => files.set(key(name, clip), heard[i])),
  };
}
