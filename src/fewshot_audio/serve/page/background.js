// The background: recordings of sounds that are known, and never an answer.

import { json } from "./api.js";
import { at, el, notify, plural } from "./dom.js";
import { clipInputElements, makeClipInput } from "./clip-input.js";

/**
 * Connect the card. `getState()` returns the state, `show(state)` shows a new one, and `working(hint, message, work)`
 * does work and reports its error. Returns `showBackground(state)`.
 */
export function makeBackground(getState, show, working) {
  const hint = at("background-hint");
  const input = makeClipInput(clipInputElements("background", "Record background"), add, () => getState().limits);

  async function add(files) {
    await working(hint, `Adding ${plural(files.length, "recording")} to the background …`, async () => {
      const body = new FormData();
      for (const file of files) body.append("clips", file);
      const reply = await json("/api/background", { method: "POST", body });
      await show(reply.state);
      const problems = reply.rejected.map(({ clip: number, detail }) => `“${files[number].name}”: ${detail}`);
      const damaged = reply.damaged.map(({ clip: number, detail }) => ` “${files[number].name}” is ${detail}.`).join("");
      const outcome = `Added ${plural(reply.enrolled, "recording")} to the background.`;
      const unused = problems.length ? ` Not used: ${problems.join("; ")}.` : "";
      notify(outcome + unused + damaged, unused || damaged ? "warn" : "good");
    });
  }

  async function remove(name) {
    const address = `/api/background?clip=${encodeURIComponent(name)}&revision=${getState().revision}`;
    await working(hint, "", async () => {
      await show(await json(address, { method: "DELETE" }));
      notify(`Removed “${name}” from the background.`, "good");
      (at("background").querySelector("button") ?? at("background-record")).focus();
    });
  }

  return ({ background }) => {
    input.disabled = false;
    at("background").replaceChildren(
      ...background.map(({ name, segments }) =>
        el("li", {},
          el("span", { class: "name", title: name }, name),
          el("span", { class: "clips" }, plural(segments, "piece")),
          el("span", { class: "row-actions" },
            el("button", { type: "button", class: "button small", "aria-label": `Remove ${name} from the background`, click: () => remove(name) }, "Remove"))),
      ),
    );
  };
}
