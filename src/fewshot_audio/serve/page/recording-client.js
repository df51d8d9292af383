// A long recording on the server: sent, asked about, searched, written as a table, removed.

import { json, request, upload } from "./api.js";

const BASE = "/api/recordings";
const JSON_HEADERS = { "Content-Type": "application/json" };
const IS_DONE = ["ready", "failed"];

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
const post = (path, body) => request(path, { method: "POST", headers: JSON_HEADERS, body: JSON.stringify(body) });

/** A recording that the server holds; `state` is what it said last. */
export class RecordingClient {
  constructor(state) {
    this.state = state;
    this.isClosed = false;
  }

  /** Send a file; `onShare` is told how much of it has arrived, 0 to 1. */
  static async send(file, onShare) {
    const body = new FormData();
    body.append("recording", file);
    return new RecordingClient(await upload(BASE, body, onShare));
  }

  /** The recording of that id. Throws ApiError if the server does not hold it any more. */
  static async resume(id) {
    return new RecordingClient(await json(`${BASE}/${id}`));
  }

  get id() {
    return this.state.id;
  }

  async refresh() {
    this.state = await json(`${BASE}/${this.id}`);
  }

  /** Ask for the state until the server has done its work; `report(state)`, which is waited for, is told how far it is. */
  async finish(report = () => {}) {
    for (let wait = 150; !this.isClosed && !IS_DONE.includes(this.state.progress); wait = Math.min(1000, wait * 1.3)) {
      await report(this.state);
      await pause(wait);
      if (!this.isClosed) await this.refresh();
    }
  }

  /**
   * Search for events like the marks; returns what is found. `showFirst(events)` is told what the first minutes of a long
   * recording hold while the rest is searched. Throws an Error with the server's words.
   */
  async search(marks, complete, report, showFirst) {
    this.state = await (await post(`${BASE}/${this.id}/search`, { marks, complete_between: complete })).json();
    let isTold = false;
    await this.finish(async (state) => {
      report(state);
      if (isTold || !state.found_until) return;
      isTold = true;
      const { events } = await json(`${BASE}/${this.id}/events`);
      if (!this.isClosed) showFirst(events);
    });
    if (this.isClosed) return null;
    if (this.state.error) throw new Error(`The search failed: ${this.state.error}.`);
    return json(`${BASE}/${this.id}/events`);
  }

  spectrogram(start, end, columns) {
    return json(`${BASE}/${this.id}/spectrogram?start=${start}&end=${end}&columns=${columns}`);
  }

  async table(events, format) {
    return (await post(`${BASE}/${this.id}/table`, { events, format })).blob();
  }

  /** Have the server forget it. */
  async close() {
    this.isClosed = true;
    await request(`${BASE}/${this.id}`, { method: "DELETE" }).catch(() => {}); // it is removed in a while anyway
  }
}
