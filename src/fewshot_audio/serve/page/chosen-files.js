// Files that a person chooses or drops, folders among them; and what is wrong with a file before it is sent.

import { el, notify, plural } from "./dom.js";

const SOUND = /\.(wav|flac|ogg|oga|opus|mp3|m4a|mp4|aac|aif|aiff|aifc|au|caf|w64|rf64|wma|webm|mka)$/i;
const MOST_FILES = 10_000; // of a folder

/** The name to show: of a file in a folder, its path from there. */
export const nameOf = (file) => file.webkitRelativePath || file.pathInFolder || file.name;

const byName = new Intl.Collator(undefined, { numeric: true }).compare;

export const isSound = (file) => (file.type.startsWith("audio/") || SOUND.test(file.name)) && !file.name.startsWith(".");

/** Connect a button that takes all recordings in a folder. */
export function makeFolderButton(button, onFiles) {
  const input = el("input", { type: "file", webkitdirectory: "", id: `${button.id}-files`, hidden: "" });
  button.after(input);
  button.addEventListener("click", () => input.click());
  input.addEventListener("change", () => {
    const files = [...input.files].filter(isSound).sort((a, b) => byName(nameOf(a), nameOf(b))).slice(0, MOST_FILES);
    input.value = ""; // the same folder can be chosen again
    if (files.length) onFiles(files);
    else notify("There is no recording in this folder.");
  });
}

/** What was dropped: files, and the recordings in folders, by their names. */
export async function droppedFiles({ items, files }) {
  const entries = [...(items ?? [])].map((item) => item.webkitGetAsEntry?.()); // at once: they are gone after a pause
  if (!entries.some((entry) => entry?.isDirectory)) return [...files];
  const recordings = [];
  for (const entry of entries) await collect(entry, entry?.isDirectory ?? false, recordings);
  return recordings;
}

async function collect(entry, isInFolder, recordings) {
  if (!entry || recordings.length >= MOST_FILES) return;
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
    if (isInFolder) file.pathInFolder = entry.fullPath.replace(/^\//, "");
    if (!isInFolder || isSound(file)) recordings.push(file);
    return;
  }
  const reader = entry.createReader();
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject)); // a hundred at a time
    if (!some.length) return;
    for (const one of some.sort((a, b) => byName(a.name, b.name))) await collect(one, true, recordings);
  }
}

/** A sentence on why a file cannot be sent; "" if it can. */
export async function problemOf(file, maxBytes) {
  if (file.size > maxBytes) return `“${nameOf(file)}” is larger than ${maxBytes >> 20} MB, the maximum.`;
  try {
    await file.slice(0, 1).arrayBuffer();
    return "";
  } catch {
    return `“${nameOf(file)}” cannot be read. Is it still there? Of a folder, choose the files in it.`;
  }
}

/** The files that can be sent; `tell(sentence)` is told of the others. */
export async function sendable(files, maxBytes, tell) {
  const problems = await Promise.all(files.map((file) => problemOf(file, maxBytes)));
  const sentences = problems.filter(Boolean);
  const more = sentences.length - 3;
  if (sentences.length) tell([...sentences.slice(0, 3), ...(more > 0 ? [`And ${plural(more, "more file")}.`] : [])].join(" "));
  return files.filter((_, number) => !problems[number]);
}
