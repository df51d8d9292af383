// The timeline: a recording's spectrogram with its events, to zoom, to scroll, and to mark events by dragging.

import { at, clock } from "./dom.js";
import { clearedContext, spectrogramImage } from "./canvas.js";

const SHORTEST_VIEW = 0.2; // seconds
const FIRST_VIEW = 60;
const CLICK = 4; // pixels that the pointer moves at most in a click
const EDGE = 6; // pixels around the edge of an event in which it is taken hold of
const LOAD_DELAY = 90; // milliseconds in which the view rests before its spectrogram is asked for
const MAX_COLUMNS = 1600;
const STEPS = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600];

/**
 * `load(start, end, columns)` resolves to a part of the spectrogram; `onMark(start, end)`, `onSelect(key)` and
 * `onResize(key, start, end)` tell what the pointer did.
 */
export function makeTimeline({ load, onMark, onSelect, onResize }) {
  const frame = at("timeline");
  const overlay = at("timeline-events");
  const overview = at("overview");
  let recording = null; // {seconds, high_hz}
  let view = { start: 0, end: 1 };
  let whole = null; // {start, end, image} of all of it
  let close = null; // the same of the view
  let events = [];
  let selected = null;
  let colorOf = () => "white";
  let drag = null; // {from, to, event} in seconds
  let loading = 0;
  let timer = null;

  const width = () => Math.max(1, overlay.clientWidth);
  const x = (time) => ((time - view.start) / (view.end - view.start)) * width();
  const timeAt = (event) => {
    const box = overlay.getBoundingClientRect();
    const share = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
    return view.start + share * (view.end - view.start);
  };

  async function open(newRecording) {
    recording = newRecording;
    whole = close = null;
    events = [];
    overview.setAttribute("aria-valuemax", String(Math.round(recording.seconds)));
    setView(0, Math.min(FIRST_VIEW, recording.seconds));
    const part = await load(0, recording.seconds, Math.min(MAX_COLUMNS, Math.round(width() * devicePixelRatio)));
    whole = { ...part, image: spectrogramImage(part) };
    draw();
  }

  function setView(start, end) {
    const length = Math.min(recording.seconds, Math.max(SHORTEST_VIEW, end - start));
    const first = Math.min(Math.max(0, start), recording.seconds - length);
    view = { start: first, end: first + length };
    draw();
    clearTimeout(timer);
    timer = setTimeout(loadView, LOAD_DELAY);
  }

  async function loadView() {
    const number = ++loading;
    const { start, end } = view;
    try {
      const part = await load(start, end, Math.min(MAX_COLUMNS, Math.round(width() * devicePixelRatio)));
      if (number !== loading) return; // the view has moved on
      close = { ...part, image: spectrogramImage(part) };
      draw();
    } catch {
      // the coarse picture stays; whatever is wrong is told by the next request
    }
  }

  const zoom = (factor, center = (view.start + view.end) / 2) =>
    setView(center - (center - view.start) * factor, center + (view.end - center) * factor);
  const scroll = (share) => {
    const by = share * (view.end - view.start);
    setView(view.start + by, view.end + by);
  };

  /** Bring an event into view, and close enough to be seen. */
  function reveal({ start, end }) {
    const length = view.end - view.start;
    const wide = ((end - start) / length) * width() >= 8;
    if (start >= view.start && end <= view.end && wide) return draw();
    const next = wide ? Math.max(length, 1.5 * (end - start)) : Math.max(8 * (end - start), Math.min(length, 10));
    setView((start + end - next) / 2, (start + end + next) / 2);
  }

  // --- drawing ---------------------------------------------------------------------------------------------------------

  function draw() {
    if (!recording) return;
    drawSpectrogram();
    drawEvents();
    drawTimes();
    drawFrequencies();
    drawOverview();
    overview.setAttribute("aria-valuenow", String(Math.round(view.start)));
    overview.setAttribute("aria-valuetext", `${clock(view.start)} to ${clock(view.end)} of ${clock(recording.seconds)}`);
    frame.dataset.start = view.start.toFixed(3);
    frame.dataset.end = view.end.toFixed(3);
  }

  function drawSpectrogram() {
    const canvas = at("timeline-spectrogram");
    const context = clearedContext(canvas);
    for (const part of [whole, close]) {
      if (!part || part.end <= view.start || part.start >= view.end) continue;
      const scale = canvas.width / (view.end - view.start);
      context.drawImage(part.image, (part.start - view.start) * scale, 0, (part.end - part.start) * scale, canvas.height);
    }
  }

  function drawEvents() {
    const context = scaledContext(overlay);
    const height = overlay.clientHeight;
    context.font = "600 12px system-ui, sans-serif";
    for (const event of events) {
      if (event.end < view.start || event.start > view.end) continue;
      const [left, right] = [x(event.start), Math.max(x(event.end), x(event.start) + 2)];
      const rejected = event.decision === "no";
      const color = rejected ? "#c8c8c8" : colorOf(event.label);
      context.globalAlpha = rejected ? 0.1 : event.decision || event.isMark ? 0.3 : 0.18;
      context.fillStyle = color;
      context.fillRect(left, 0, right - left, height);
      context.globalAlpha = 1;
      context.setLineDash(event.isMark || event.decision === "yes" ? [] : [4, 3]);
      context.strokeStyle = event.key === selected ? "white" : color;
      context.lineWidth = event.key === selected ? 3 : 1.5;
      context.strokeRect(left, 1.5, right - left, height - 3);
      if (right - left > 34 || event.key === selected) drawName(context, event, left, color);
    }
    if (drag && Math.abs(x(drag.to) - x(drag.from)) > CLICK) {
      context.setLineDash([]);
      context.fillStyle = "rgb(255 255 255 / 30%)";
      context.fillRect(x(drag.from), 0, x(drag.to) - x(drag.from), height);
    }
  }

  function drawName(context, { label, score, decision, isMark }, left, color) {
    const sign = decision === "yes" ? "✓ " : decision === "no" ? "✗ " : "";
    const text = `${sign}${label.slice(0, 24)}${isMark ? "" : ` ${score.toFixed(2)}`}`;
    context.fillStyle = "rgb(0 0 0 / 70%)";
    context.fillRect(left + 2, 4, context.measureText(text).width + 8, 18);
    context.fillStyle = color;
    context.fillText(text, left + 6, 17);
  }

  function drawTimes() {
    const canvas = at("timeline-times");
    const context = scaledContext(canvas);
    context.font = "12px system-ui, sans-serif";
    context.fillStyle = context.strokeStyle = getComputedStyle(canvas).color;
    const seconds = view.end - view.start;
    const step = STEPS.find((one) => (one / seconds) * width() >= 70) ?? 3600;
    for (let tick = Math.ceil(view.start / step) * step; tick <= view.end; tick += step) {
      const left = x(tick);
      context.fillRect(left, 0, 1, 5);
      const text = clock(tick, step);
      const half = context.measureText(text).width / 2;
      context.fillText(text, Math.min(width() - 2 * half, Math.max(0, left - half)), 17);
    }
  }

  function drawFrequencies() {
    const canvas = at("timeline-frequencies");
    const context = scaledContext(canvas);
    context.font = "12px system-ui, sans-serif";
    context.fillStyle = getComputedStyle(canvas).color;
    context.textAlign = "right";
    const height = canvas.clientHeight;
    const step = [1000, 2000, 5000].find((one) => (one / recording.high_hz) * height >= 30) ?? 10_000;
    for (let tick = 0; tick <= recording.high_hz; tick += step) {
      const top = height * (1 - tick / recording.high_hz);
      context.fillRect(canvas.clientWidth - 4, Math.min(top, height - 1), 4, 1);
      context.fillText(tick === 0 ? "0 Hz" : `${tick / 1000} kHz`, canvas.clientWidth - 7, Math.min(height - 2, Math.max(11, top + 4)));
    }
  }

  function drawOverview() {
    const context = scaledContext(overview);
    const [across, height] = [overview.clientWidth, overview.clientHeight];
    if (whole) context.drawImage(whole.image, 0, 0, across, height);
    const place = (time) => (time / recording.seconds) * across;
    for (const event of events) {
      context.fillStyle = event.decision === "no" ? "#c8c8c8" : colorOf(event.label);
      context.fillRect(place(event.start), height - 7, Math.max(2, place(event.end - event.start)), 7);
    }
    context.fillStyle = "rgb(0 0 0 / 45%)";
    context.fillRect(0, 0, place(view.start), height);
    context.fillRect(place(view.end), 0, across - place(view.end), height);
    context.strokeStyle = "white";
    context.lineWidth = 2;
    context.strokeRect(place(view.start) + 1, 1, Math.max(2, place(view.end - view.start) - 2), height - 2);
  }

  // --- the pointer -----------------------------------------------------------------------------------------------------

  overlay.addEventListener("pointerdown", (event) => {
    if (!recording || event.button !== 0) return;
    overlay.setPointerCapture(event.pointerId);
    const time = timeAt(event);
    const held = edgeAt(time);
    drag = held ? { from: held.other, to: time, resized: held.key } : { from: time, to: time };
  });
  overlay.addEventListener("pointermove", (event) => {
    if (!drag) {
      overlay.style.cursor = edgeAt(timeAt(event)) ? "ew-resize" : "crosshair";
      return;
    }
    drag.to = timeAt(event);
    drawEvents();
  });
  overlay.addEventListener("pointercancel", () => {
    drag = null;
    draw();
  });
  overlay.addEventListener("pointerup", (event) => {
    if (!drag) return;
    const { from, resized } = drag;
    const to = timeAt(event);
    drag = null;
    frame.focus({ preventScroll: true });
    const [start, end] = [Math.min(from, to), Math.max(from, to)];
    if (Math.abs(x(to) - x(from)) <= CLICK) onSelect(eventAt(to)?.key ?? null);
    else if (resized !== undefined) onResize(resized, start, end);
    else onMark(start, end);
    draw();
  });

  function edgeAt(time) {
    const event = events.find(({ key }) => key === selected);
    if (!event) return null;
    if (Math.abs(x(time) - x(event.start)) <= EDGE) return { key: selected, other: event.end };
    return Math.abs(x(time) - x(event.end)) <= EDGE ? { key: selected, other: event.start } : null;
  }

  /** The shortest event at a time; a few pixels beside it count, too. */
  function eventAt(time) {
    const near = (3 / width()) * (view.end - view.start);
    const here = events.filter(({ start, end }) => time >= start - near && time <= end + near);
    return here.sort((one, other) => one.end - one.start - (other.end - other.start))[0];
  }

  frame.addEventListener("wheel", (event) => {
    if (!recording) return;
    const sideways = event.shiftKey ? event.deltaY || event.deltaX : Math.abs(event.deltaX) > Math.abs(event.deltaY) ? event.deltaX : 0;
    if (event.ctrlKey || event.metaKey) zoom(event.deltaY > 0 ? 1.25 : 0.8, timeAt(event));
    else if (sideways) scroll(sideways / width());
    else return;
    event.preventDefault();
  }, { passive: false });

  const moveTo = (event) => {
    const box = overview.getBoundingClientRect();
    const center = ((event.clientX - box.left) / box.width) * recording.seconds;
    const half = (view.end - view.start) / 2;
    setView(center - half, center + half);
  };
  overview.addEventListener("pointerdown", (event) => {
    if (!recording) return;
    overview.setPointerCapture(event.pointerId);
    moveTo(event);
  });
  overview.addEventListener("pointermove", (event) => {
    if (recording && overview.hasPointerCapture(event.pointerId)) moveTo(event);
  });

  new ResizeObserver(() => recording && setView(view.start, view.end)).observe(frame);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);

  return {
    open,
    reveal,
    zoom,
    scroll,
    showAll: () => setView(0, recording.seconds),
    get view() {
      return view;
    },
    /** Show events, of which one is selected; `color(label)` is that of a label. */
    show(newEvents, selectedKey, color) {
      [events, selected, colorOf] = [newEvents, selectedKey, color];
      draw();
    },
  };
}

/** A cleared canvas's context in the page's own pixels. */
function scaledContext(canvas) {
  const context = clearedContext(canvas);
  context.scale(canvas.width / Math.max(1, canvas.clientWidth), canvas.height / Math.max(1, canvas.clientHeight));
  return context;
}
