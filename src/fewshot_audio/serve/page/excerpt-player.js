// Plays sounds, one at a time: files, and parts of a recording that the server cuts out, exactly as long as asked for.

import { request } from "./api.js";

const MOST_HELD = 20;

export class ExcerptPlayer {
  #audio = new Audio();
  #held = new Map(); // addresses in memory, of excerpts that were fetched and of files

  /** Play a part of a recording; what plays already is stopped. */
  async play(id, { start, end }) {
    await this.playAddress(`/api/recordings/${id}/sound?start=${start}&end=${end}`);
  }

  /** Play what the server has at an address; `key` tells when that is another sound than before. */
  async playAddress(path, key = path) {
    this.#audio.pause();
    if (!this.#held.has(key)) this.#hold(key, URL.createObjectURL(await (await request(path)).blob()));
    this.#audio.src = this.#held.get(key);
    await this.#audio.play().catch((error) => {
      if (error.name !== "AbortError") throw error; // another excerpt was asked for meanwhile
    });
  }

  /** Play a whole file. */
  async playFile(file) {
    if (!this.#held.has(file)) this.#hold(file, URL.createObjectURL(file));
    this.#audio.src = this.#held.get(file);
    await this.#audio.play().catch(() => {}); // some browsers cannot play every format
  }

  stop() {
    this.#audio.pause();
    for (const url of this.#held.values()) URL.revokeObjectURL(url);
    this.#held.clear();
  }

  #hold(key, url) {
    this.#held.set(key, url);
    if (this.#held.size <= MOST_HELD) return;
    const [oldest] = this.#held.keys();
    URL.revokeObjectURL(this.#held.get(oldest));
    this.#held.delete(oldest);
  }
}
