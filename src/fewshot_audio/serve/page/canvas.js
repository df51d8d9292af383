// Drawing on canvases: the waveform and the spectrogram from the server, and the level while recording.

// Some colors of the "magma" map, dark to light; colors between them are interpolated.
const MAGMA = [[0, 0, 4], [28, 16, 68], [79, 18, 123], [129, 37, 129], [181, 54, 122], [229, 80, 100], [251, 135, 97], [254, 194, 135], [252, 253, 191]];

const PALETTE = Array.from({ length: 256 }, (_, value) => {
  const position = (value / 255) * (MAGMA.length - 1);
  const index = Math.min(Math.floor(position), MAGMA.length - 2);
  return MAGMA[index].map((c, i) => Math.round(c + (position - index) * (MAGMA[index + 1][i] - c)));
});

export function drawWaveform(canvas, lowest, highest) {
  const context = clearedContext(canvas);
  const { width, height } = canvas;
  context.fillStyle = getComputedStyle(canvas).color;
  const step = width / lowest.length;
  lowest.forEach((low, i) => {
    const top = ((1 - highest[i]) / 2) * height;
    const bottom = ((1 - low) / 2) * height;
    context.fillRect(i * step, top, Math.max(step, 1), Math.max(bottom - top, 1));
  });
}

export function drawSpectrogram(canvas, { rows, columns, log_mel: base64 }) {
  paint(canvas, rows, columns, base64);
}

/** A part of a long recording's spectrogram as a canvas of its own. */
export function spectrogramImage({ rows, columns, levels: base64 }) {
  const canvas = document.createElement("canvas");
  paint(canvas, rows, columns, base64);
  return canvas;
}

function paint(canvas, rows, columns, base64) {
  const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  canvas.width = columns;
  canvas.height = rows;
  const context = canvas.getContext("2d");
  const image = context.createImageData(columns, rows);
  bytes.forEach((value, i) => {
    image.data.set(PALETTE[value], 4 * i);
    image.data[4 * i + 3] = 255;
  });
  context.putImageData(image, 0, 0);
}

/** A meter that scrolls: call it with each block of samples. */
export function makeMeter(canvas) {
  const context = clearedContext(canvas);
  const peaks = [];
  const bar = 4 * (window.devicePixelRatio || 1);
  const maxBars = Math.floor(canvas.width / bar);
  let peak = 0;
  let sampleCount = 0;
  return (block) => {
    for (const value of block) peak = Math.max(peak, Math.abs(value));
    sampleCount += block.length;
    if (sampleCount < 2048) return;
    peaks.push(Math.sqrt(Math.min(peak, 1))); // so that quiet sounds are visible
    if (peaks.length > maxBars) peaks.shift();
    peak = 0;
    sampleCount = 0;
    context.clearRect(0, 0, canvas.width, canvas.height);
    context.fillStyle = getComputedStyle(canvas).color;
    peaks.forEach((value, i) => {
      const height = Math.max(2, value * canvas.height);
      context.fillRect(i * bar, (canvas.height - height) / 2, bar * 0.6, height);
    });
  };
}

/** Fit a canvas to the screen's pixels and clear it; returns its context. */
export function clearedContext(canvas) {
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.max(1, Math.round(canvas.clientWidth * ratio));
  canvas.height = Math.max(1, Math.round(canvas.clientHeight * ratio));
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, canvas.width, canvas.height);
  return context;
}
