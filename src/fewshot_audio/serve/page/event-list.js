// The events of a recording: marks that a person made, detections, what was decided about them, and undo. No drawing.

const MAX_UNDO = 200;
const SAME_EVENT = 0.3; // intersection over union

function share(one, other) {
  const common = Math.min(one.end, other.end) - Math.max(one.start, other.start);
  return common / (Math.max(one.end, other.end) - Math.min(one.start, other.start));
}

/** An event is {key, start, end, label, score, isMark, decision}: score is null for a mark, decision "yes", "no" or null. */
export class EventList {
  #events = [];
  #history = [];
  #nextKey = 1;

  get all() {
    return this.#events;
  }

  get canUndo() {
    return this.#history.length > 0;
  }

  get labels() {
    return [...new Set(this.#events.map(({ label }) => label))];
  }

  /** Those on the timeline: marks, whatever was decided about, and detections from the threshold on. In order of time. */
  shown(threshold) {
    return this.#events.filter((event) => event.isMark || event.decision || event.score >= threshold);
  }

  /** Those to write as a table: all that are shown and not rejected. A mark has the score 1. */
  result(threshold) {
    return this.shown(threshold)
      .filter(({ decision }) => decision !== "no")
      .map(({ start, end, label, score }) => ({ start, end, label, score: score ?? 1 }));
  }

  /** What the server learns from: marks and accepted events, rejected ones, and undecided ones as unsure. */
  lessons(threshold) {
    const quality = ({ isMark, decision }) => (isMark || decision === "yes" ? "POS" : decision === "no" ? "NEG" : "UNK");
    return this.shown(threshold).map((event) => ({ start: event.start, end: event.end, label: event.label, quality: quality(event) }));
  }

  /** The number of examples of each label. */
  exampleCounts() {
    const counts = new Map();
    for (const { isMark, decision, label } of this.#events) {
      if (isMark || decision === "yes") counts.set(label, (counts.get(label) ?? 0) + 1);
    }
    return counts;
  }

  mark(start, end, label) {
    const event = { key: this.#nextKey++, start, end, label, score: null, isMark: true, decision: null };
    this.#change([...this.#events, event]);
    return event.key;
  }

  change(key, values) {
    this.#change(this.#events.map((event) => (event.key === key ? { ...event, ...values } : event)));
  }

  remove(key) {
    this.#change(this.#events.filter((event) => event.key !== key));
  }

  /** Detections take the place of those that nobody has decided about; what was decided on or marked is not there twice. */
  setDetections(detections) {
    const kept = this.#events.filter(({ isMark, decision }) => isMark || decision);
    const fresh = detections.filter((event) => !kept.some((own) => own.label === event.label && share(own, event) > SAME_EVENT));
    this.#change([...kept, ...fresh.map((event) => ({ ...event, key: this.#nextKey++, isMark: false, decision: null }))]);
  }

  /** Take the last change back; returns the key of an event that is as it was, or null. */
  undo() {
    if (!this.#history.length) return null;
    const changed = new Set(this.#events);
    this.#events = this.#history.pop();
    return this.#events.find((event) => !changed.has(event))?.key ?? null;
  }

  /** As text, and back: what a page keeps when it is loaded again. */
  get saved() {
    return this.#events;
  }

  set saved(events) {
    this.#events = events;
    this.#history = [];
    this.#nextKey = 1 + events.reduce((most, { key }) => Math.max(most, key), 0);
  }

  #change(events) {
    this.#history.push(this.#events);
    if (this.#history.length > MAX_UNDO) this.#history.shift();
    this.#events = events.toSorted((one, other) => one.start - other.start || one.end - other.end);
  }
}
