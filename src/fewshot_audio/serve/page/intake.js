// One place to give sounds: the microphone, the file chooser, or dropped files.

import { at, notify, quiet, seconds } from "./dom.js";
import { makeMeter } from "./pictures.js";
import { Recorder } from "./recorder.js";

let recording = null; // one microphone: starting here stops there

/** Wire an intake; `take(files)` gets what the user gives, `limits()` the server's limits. */
export function makeIntake({ area, button, choose, input, meter, hint, idle }, take, limits) {
  const recorder = new Recorder();
  let running = false;
  let busy = false;

  async function start() {
    await recording?.();
    quiet();
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
    recording = stop;
    button.classList.add("running");
    button.textContent = "Stop";
    hint.textContent = "Listening …";
  }

  async function stop() {
    running = false;
    recording = null;
    const file = await recorder.stop();
    meter.hidden = true;
    button.classList.remove("running");
    button.textContent = idle;
    hint.textContent = "";
    give([file]);
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

  function give(files) {
    const { upload_bytes: most } = limits();
    const large = files.filter((file) => file.size > most);
    if (large.length) notify(`“${large[0].name}” is larger than ${most >> 20} MB, which is the most.`);
    const small = files.filter((file) => file.size <= most);
    if (small.length) take(small);
  }

  button.addEventListener("click", toggle);
  choose.addEventListener("click", () => input.click());
  input.addEventListener("change", () => {
    give([...input.files]);
    input.value = ""; // the same file can be chosen again
  });
  for (const type of ["dragenter", "dragover"]) {
    area.addEventListener(type, (event) => {
      event.preventDefault();
      area.classList.add("dropping");
    });
  }
  for (const type of ["dragleave", "drop"]) area.addEventListener(type, () => area.classList.remove("dropping"));
  area.addEventListener("drop", (event) => {
    event.preventDefault();
    if (!input.disabled) give([...event.dataTransfer.files]);
  });

  return {
    set disabled(value) {
      for (const control of [button, choose, input]) control.disabled = value;
      area.classList.toggle("disabled", value);
    },
  };
}

/** A file dropped beside an intake must not replace the page. */
export function guardDrops() {
  for (const type of ["dragover", "drop"]) window.addEventListener(type, (event) => event.preventDefault());
}

export const intakeOf = (name, idle) => ({
  area: at(`${name}-intake`),
  button: at(`${name}-record`),
  choose: at(`${name}-choose`),
  input: at(`${name}-files`),
  meter: at(`${name}-meter`),
  hint: at(`${name}-hint`),
  idle,
});
