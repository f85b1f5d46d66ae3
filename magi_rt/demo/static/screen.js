// One picture: draws the newest frame, as large as whole pixels fit, and measures.

const GLOW_MS = 250;
const METER_MS = 3000;

export class Screen {
  #canvas;
  #pen;
  #glow;
  #waiting = null;
  #asked = false;
  #glowed = 0;
  #painted = [];
  #frame = null;
  #room = { width: 400, height: 400 };
  crisp = true;
  skipped = 0;
  addedMs = 0;

  /** Called with every frame that was painted. */
  onpaint = () => {};

  constructor(canvas, glow) {
    this.#canvas = canvas;
    this.#pen = canvas.getContext("2d", { alpha: false });
    this.#glow = glow.getContext("2d");
  }

  get frame() {
    return this.#frame;
  }

  /** Takes a frame; only the newest is painted, at the screen's next turn. */
  take(frame) {
    if (this.#waiting && this.#waiting !== frame) this.skipped += 1;
    this.#waiting = frame;
    if (this.#asked) return;
    this.#asked = true;
    requestAnimationFrame(() => this.#turn());
  }

  /** Frames per second of the last seconds. */
  fps(now = performance.now()) {
    while (this.#painted.length && now - this.#painted[0] > METER_MS) this.#painted.shift();
    const count = this.#painted.length;
    return count < 2 ? 0 : (1000 * (count - 1)) / (this.#painted[count - 1] - this.#painted[0]);
  }

  /** How long ago the last frame was painted, in milliseconds. */
  still(now = performance.now()) {
    return this.#painted.length ? now - this.#painted[this.#painted.length - 1] : Infinity;
  }

  /** Fits the canvas into so many CSS pixels. */
  fit(width, height) {
    this.#room = { width, height };
    const { width: w, height: h } = this.#canvas;
    const most = Math.min(width / w, height / h) * devicePixelRatio;
    const scale = (this.crisp && most >= 3 ? Math.floor(most) : most) / devicePixelRatio;
    this.#canvas.style.width = `${w * scale}px`;
    this.#canvas.style.height = `${h * scale}px`;
    this.#canvas.classList.toggle("crisp", this.crisp);
  }

  async #turn() {
    const frame = this.#waiting;
    this.#waiting = null;
    const decoded = frame.jpeg
      ? await createImageBitmap(new Blob([frame.pixels], { type: "image/jpeg" }))
      : new ImageData(frame.pixels, frame.width, frame.height);
    this.#size(frame);
    if (frame.jpeg) this.#pen.drawImage(decoded, 0, 0);
    else this.#pen.putImageData(decoded, 0, 0);
    if (frame.jpeg) decoded.close();
    this.#done(frame);
    this.#asked = false;
    if (this.#waiting) this.take(this.#waiting);
  }

  #size(frame) {
    if (this.#canvas.width === frame.width && this.#canvas.height === frame.height) return;
    this.#canvas.width = frame.width;
    this.#canvas.height = frame.height;
    this.fit(this.#room.width, this.#room.height);
  }

  #done(frame) {
    const now = performance.now();
    this.#painted.push(now);
    this.fps(now);
    this.addedMs += 0.1 * (Date.now() - frame.sent_ms - this.addedMs);
    frame.pixels = null;
    this.#frame = frame;
    const { dataset } = this.#canvas;
    dataset.frame = frame.frame;
    dataset.chunk = frame.chunk;
    dataset.epoch = frame.epoch;
    dataset.prompt = frame.prompt;
    if (now - this.#glowed > GLOW_MS) {
      this.#glowed = now;
      this.#glow.drawImage(this.#canvas, 0, 0, 6, 6);
    }
    this.onpaint(frame, now);
  }
}
