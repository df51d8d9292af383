// The microphone, without the browser's speech processing: it would change every sound that is not speech.

import { encodeWav } from "./wav.js";

const CONSTRAINTS = {
  audio: { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: false },
};

const REASONS = {
  NotAllowedError: "The browser was not allowed to use the microphone. Allow it in the address bar, or choose a file.",
  NotFoundError: "No microphone was found. Connect one, or choose a file.",
  NotReadableError: "The microphone is in use by another program, or does not answer.",
};

export class Recorder {
  #blocks = [];
  #length = 0;
  #number = 0;

  /** `onSamples(block, seconds)` is called while the recording runs. */
  async start(onSamples) {
    if (!navigator.mediaDevices) {
      throw new Error("Browsers open the microphone only for localhost and for https addresses. Choose a file instead.");
    }
    this.#blocks = [];
    this.#length = 0;
    try {
      this.stream = await navigator.mediaDevices.getUserMedia(CONSTRAINTS);
    } catch (error) {
      throw new Error(REASONS[error.name] ?? `The microphone could not be opened (${error.message}).`);
    }
    try {
      this.context = new AudioContext();
      await this.context.audioWorklet.addModule("/assets/recorder-worklet.js");
      await this.context.resume();
      this.tap = new AudioWorkletNode(this.context, "tap", { numberOfOutputs: 0 });
      this.tap.port.onmessage = ({ data }) => {
        this.#blocks.push(data);
        this.#length += data.length;
        onSamples(data, this.#length / this.context.sampleRate);
      };
      this.context.createMediaStreamSource(this.stream).connect(this.tap);
    } catch (error) {
      await this.#release();
      throw new Error(`The recording could not be started (${error.message}).`);
    }
  }

  /** End the recording; returns it as a wav File. */
  async stop() {
    const rate = this.context.sampleRate;
    this.tap.port.onmessage = null; // blocks that are still on their way came after the end
    await this.#release();
    const samples = new Float32Array(this.#length);
    let offset = 0;
    for (const block of this.#blocks) {
      samples.set(block, offset);
      offset += block.length;
    }
    this.#blocks = [];
    this.#number += 1;
    return new File([encodeWav(samples, rate)], `recording ${this.#number}.wav`, { type: "audio/wav" });
  }

  async #release() {
    this.stream.getTracks().forEach((track) => track.stop());
    await this.context?.close();
  }
}
