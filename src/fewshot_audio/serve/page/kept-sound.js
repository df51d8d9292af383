// Whether the sound of clips is kept: asked once, told, and changed; and whether a downloaded bundle has it.

import { json } from "./api.js";
import { dialogChoice } from "./dialogs.js";
import { at, el, notify, plural } from "./dom.js";

const QUESTION =
  "Shall the sound of your clips be kept, so that you can listen to them later? It would lie in the folder of this recognizer, " +
  "on the computer that this page comes from. What you download has none of it unless you ask for it. You can change this at any time.";

const megabytes = (bytes) => `${(bytes / 2 ** 20).toFixed(bytes < 2 ** 20 ? 2 : 1)} MB`;
const clipsWithSound = ({ classes }) => classes.reduce((sum, { with_sound: names }) => sum + names.length, 0);
const size = (state) => `${plural(clipsWithSound(state), "clip")}, ${megabytes(state.sound_bytes)}`;

/**
 * Connect the question, and the line that tells. `getState()` returns the state, `show(state)` shows a new one, and
 * `working(hint, message, work)` does work and reports its error. Returns `showKeptSound(state, isTeaching)`.
 */
export function makeKeptSound({ getState, show, working }) {
  const button = (text, click, kind = "button") => el("button", { type: "button", class: kind, click }, text);
  const text = el("span");
  const change = el("button", { type: "button", class: "link", click: () => (getState().keeps_sound ? stop() : decide(true)) });
  at("sound-setting").append(text, " ", change);
  at("sound-question").append(
    el("p", {}, QUESTION),
    el("div", { class: "actions" }, button("Keep the sound", () => decide(true), "button primary"), button("Do not keep it", () => decide(false))),
  );

  async function decide(keep) {
    await working(at("teach-hint"), "", async () => {
      await show(await json(`/api/sound?keep=${keep}&revision=${getState().revision}`, { method: "PUT" }));
      notify(keep ? "The sound of the clips that you teach from now on is kept." : "No sound of clips is kept.", "good");
    });
  }

  async function stop() {
    const clips = clipsWithSound(getState());
    if (clips) {
      at("remove-title").textContent = "Keep no sound any more?";
      at("remove-text").textContent = `This removes the sound of ${plural(clips, "clip")}. The clips themselves stay, and count as before.`;
      if ((await dialogChoice(at("remove-dialog"))) !== "ok") return;
    }
    await decide(false);
  }

  return (state, isTeaching) => {
    const { keeps_sound: keeps, saves } = state;
    at("sound-question").hidden = !(saves && keeps === null && isTeaching);
    at("sound-setting").hidden = !saves || keeps === null;
    const kept = state.sound_bytes ? ` (now ${size(state)})` : "";
    text.textContent = keeps ? `The sound of the clips that you teach is kept${kept}.` : "The sound of clips is not kept.";
    change.textContent = keeps ? "Keep none" : "Keep that of new clips";
  };
}

/** A sentence about new clips of a class whose sound is not kept although it should be; none if there are none. */
export function unkeptRemark(state, name, clips) {
  const kept = new Set(state.classes.find((one) => one.name === name)?.with_sound);
  const count = state.keeps_sound ? clips.filter((clip) => !kept.has(clip)).length : 0;
  return count ? [`The sound of ${plural(count, "clip")} is not kept: one clip may have 16 MB, and all together 256 MB.`] : [];
}

/** The address of a bundle to download; asks whether the kept sound is to be in it. Null if the person thinks better of it. */
export async function bundleAddress(state) {
  if (!state.sound_bytes) return "/api/bundle";
  const choose = (value) => ({ type: "button", class: value === "no" ? "button primary" : "button", click: () => dialog.close(value) });
  const dialog = el(
    "dialog",
    { "aria-labelledby": "download-title" },
    el("h2", { id: "download-title" }, "Download with the sound of your clips?"),
    el("p", {}, `The sound of ${size(state)}, is kept here. Whoever gets the download with it can listen to your clips. The recognizer works the same without.`),
    el("div", { class: "actions end" }, el("button", choose("cancel"), "Cancel"), el("button", choose("yes"), "With the sound"), el("button", choose("no"), "Without the sound")),
  );
  document.body.append(dialog);
  const choice = await dialogChoice(dialog);
  dialog.remove();
  return choice === "cancel" ? null : `/api/bundle?with_audio=${choice === "yes"}`;
}
