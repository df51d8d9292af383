// Dialogs that ask for a name, or whether to go on.

import { at } from "./dom.js";

/** Show a dialog; resolves to the value of the button that closed it. */
export function dialogChoice(dialog) {
  dialog.returnValue = "cancel"; // for Escape
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue), { once: true }));
}

/** Ask for a name. Resolves to what was typed, or to null if it was nothing, or the dialog was left. */
export async function askName(title, value, { label = "New name", action = "Rename", list = "" } = {}) {
  at("rename-title").textContent = title;
  at("rename-label").textContent = label;
  at("rename-submit").textContent = action;
  at("rename-name").value = value;
  at("rename-name").setAttribute("list", list);
  const choice = dialogChoice(at("rename-dialog"));
  at("rename-name").select();
  const answer = (await choice) === "ok" ? at("rename-name").value.trim() : "";
  return answer || null;
}
