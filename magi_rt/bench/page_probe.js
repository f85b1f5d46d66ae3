// Runs before the demo's own scripts and only looks on: when a prompt is typed, sent, seen.
// What counts as seen is a picture whose mean brightness has left that of the picture before.

const HEAD_BYTES = 32;
const PICTURE_AT = 1;
const KIND_AT = 2;
const FRAME_AT = 12;
const RAW = 0;
const EVERY = 4 * 7;

const probe = { leap: 0, shown: 0, newest: null, trial: null };
window.magiProbe = probe;

/** Arms the probe: the next Enter begins a trial, and a leap of brightness (0 to 255) ends it. */
probe.arm = (leap) => {
  probe.leap = leap;
  probe.trial = { from: probe.newest, typed: 0, sent: 0, arrived: 0, drawn: 0, frame: -1 };
};

const brightness = (pixels) => {
  let sum = 0;
  let count = 0;
  for (let at = 0; at < pixels.length; at += EVERY) {
    sum += pixels[at] + pixels[at + 1] + pixels[at + 2];
    count += 3;
  }
  return sum / count;
};

const hear = ({ data }) => {
  if (typeof data === "string") return;
  const view = new DataView(data);
  if (view.getUint8(PICTURE_AT) !== 0 || view.getUint8(KIND_AT) !== RAW) return;
  probe.newest = brightness(new Uint8Array(data, HEAD_BYTES));
  const trial = probe.trial;
  if (!trial?.sent || trial.arrived || Math.abs(probe.newest - trial.from) < probe.leap) return;
  trial.arrived = performance.now();
  trial.frame = view.getUint32(FRAME_AT, true);
};

const Socket = window.WebSocket;
window.WebSocket = class extends Socket {
  constructor(...given) {
    super(...given);
    this.addEventListener("message", hear);
  }

  send(data) {
    const trial = probe.trial;
    const prompt = typeof data === "string" && data.includes('"do":"prompt"');
    if (prompt && trial?.typed && !trial.sent) {
      trial.from = probe.newest;
      trial.sent = performance.now();
    }
    super.send(data);
  }
};

const typed = (event) => {
  const trial = probe.trial;
  if (event.key === "Enter" && trial && !trial.typed) trial.typed = event.timeStamp;
};
window.addEventListener("keydown", typed, { capture: true });

let before = "";
const look = () => {
  const frame = document.querySelector('.view[data-picture="0"]')?.dataset.frame;
  if (frame !== undefined && frame !== before) {
    before = frame;
    probe.shown += 1;
    const trial = probe.trial;
    const seen = trial?.arrived && !trial.drawn && Number(frame) >= trial.frame;
    if (seen) trial.drawn = performance.now();
  }
  requestAnimationFrame(look);
};
requestAnimationFrame(look);
