// The review of an index on the server: rounds of windows, choices, teaching, tables.

import { json, request } from "./api.js";

const BASE = "/api/review";
const query = (values) => new URLSearchParams(values).toString();

export const reviewStatus = () => json(`${BASE}/status`);
export const progressOf = (name, reviewer) => json(`${BASE}?${query({ name, reviewer })}`);
export const nextRound = (name, order, count, reviewer) => json(`${BASE}/round?${query({ name, order, count, reviewer })}`);
export const windowPicture = (window) => json(`${BASE}/spectrogram?${query({ window })}`);
export const windowSound = async (window) => (await request(`${BASE}/sound?${query({ window })}`)).blob();
export const teach = () => json(`${BASE}/teach`, { method: "POST" });
export const choicesTable = async () => (await request(`${BASE}/table`)).blob();

/** Say what is in a window; resolves when the server has it on disk. */
export const choose = (choice) =>
  json(`${BASE}/choices`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(choice) });

export const addTable = (file, name, reviewer) =>
  json(`${BASE}/table?${query({ name, reviewer })}`, { method: "POST", headers: { "Content-Type": "text/csv" }, body: file });
