// An input for clips: the microphone, the file chooser, or dropped files.

import { at, hideNotice, notify, seconds } from "./dom.js";
import { makeMeter } from "./canvas.js";
import { droppedFiles, sendable } from "./chosen-files.js";
import { Recorder } from "./recorder.js";

let stopRecording = null; // there is one microphone: recording with one input ends the other's recording

/**
 * Connect an input's elements; `onFiles(files)` receives the user's files, and `limits()` returns the server's limits. Files
 * that are too large or cannot be read are told of and left out; with `takesAll` whoever receives them does that.
 */
export function makeClipInput({ area, button, choose, input, meter, hint, buttonText }, onFiles, limits, takesAll = false) {
  const recorder = new Recorder();
  let running = false;
  let busy = false;

  async function start() {
    await stopRecording?.();
    hideNotice();
    meter.hidden = false;
    const draw = makeMeter(meter);
    try {
      await recorder.start((block, length) => {
        draw(block);
        button.textContent = `Stop (${seconds(length)})`;
        if (length >= limits().clip_seconds && running) toggle();
      });
    } catch (error) {
      meter.hidden = true;
      notify(error.message);
      return;
    }
    running = true;
    stopRecording = stop;
    button.classList.add("running");
    button.textContent = "Stop";
    hint.textContent = "Recording …";
  }

  async function stop() {
    running = false;
    stopRecording = null;
    const file = await recorder.stop();
    meter.hidden = true;
    button.classList.remove("running");
    button.textContent = buttonText;
    hint.textContent = "";
    submit([file]);
  }

  async function toggle() {
    if (busy) return; // the microphone takes a moment to open and to close
    busy = true;
    try {
      await (running ? stop() : start());
    } finally {
      busy = false;
    }
  }

  async function submit(files) {
    const accepted = takesAll ? files : await sendable(files, limits().upload_bytes, notify);
    if (accepted.length) onFiles(accepted);
  }

  button.addEventListener("click", toggle);
  const files = makeFileInput({ area, choose, input }, submit);
  return {
    set disabled(value) {
      button.disabled = files.disabled = value;
    },
  };
}

/** Connect a button that opens the file chooser, and an area for dropped files. */
export function makeFileInput({ area, choose, input }, onFiles) {
  choose.addEventListener("click", () => input.click());
  input.addEventListener("change", () => {
    if (input.files.length) onFiles([...input.files]);
    input.value = ""; // the same file can be chosen again
  });
  for (const type of ["dragenter", "dragover"]) {
    area.addEventListener(type, (event) => {
      event.preventDefault();
      area.classList.add("dropping");
    });
  }
  for (const type of ["dragleave", "drop"]) area.addEventListener(type, () => area.classList.remove("dropping"));
  area.addEventListener("drop", async (event) => {
    event.preventDefault();
    if (input.disabled) return;
    const files = await droppedFiles(event.dataTransfer);
    if (files.length) onFiles(files);
    else notify("There is no recording in what was dropped.");
  });

  return {
    set disabled(value) {
      for (const control of [choose, input]) control.disabled = value;
      area.classList.toggle("disabled", value);
    },
  };
}

/** A file that is dropped outside an input must not replace the page. */
export function preventStrayDrops() {
  for (const type of ["dragover", "drop"]) window.addEventListener(type, (event) => event.preventDefault());
}

export const clipInputElements = (name, buttonText) => ({
  area: at(`${name}-input`),
  button: at(`${name}-record`),
  choose: at(`${name}-choose`),
  input: at(`${name}-files`),
  meter: at(`${name}-meter`),
  hint: at(`${name}-hint`),
  buttonText,
});
