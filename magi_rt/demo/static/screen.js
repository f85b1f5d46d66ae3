// One picture: draws the newest frame, crisp at any size, and measures.

const GLOW_MS = 250;
const METER_MS = 3000;
const MOST_PIXELS = 2048;

export class Screen {
  #canvas;
  #pen;
  #glow;
  #small = document.createElement("canvas");
  #waiting = null;
  #busy = false;
  #glowed = 0;
  #painted = [];
  #room = { width: 400, height: 400 };
  #drawn = false;
  crisp = true;
  skipped = 0;
  addedMs = 0;
  frame = null;

  /** Called with every frame that was painted. */
  onpaint = () => {};

  constructor(canvas, glow) {
    this.#canvas = canvas;
    this.#pen = canvas.getContext("2d");
    this.#glow = glow.getContext("2d");
    this.#small.width = this.#small.height = 64;
  }

  /** Takes a frame; only the newest is painted, at the screen's next turn. */
  take(frame) {
    if (this.#waiting && !document.hidden) this.skipped += 1; // behind other tabs nothing is painted
    this.#waiting = frame;
    if (!this.#busy) this.#soon();
  }

  /** Pictures per second in the last seconds. */
  fps(now = performance.now()) {
    while (this.#painted.length && now - this.#painted[0] > METER_MS) this.#painted.shift();
    const count = this.#painted.length;
    return count < 2 ? 0 : (1000 * (count - 1)) / (this.#painted[count - 1] - this.#painted[0]);
  }

  /** Fills so many CSS pixels. Crisp pictures are enlarged by a whole number, then shrunk a little. */
  fit(width, height) {
    this.#room = { width, height };
    const { width: w, height: h } = this.#small;
    const scale = Math.min(width / w, height / h);
    const whole = Math.min(Math.ceil(scale * devicePixelRatio), Math.floor(MOST_PIXELS / Math.max(w, h)));
    const times = this.crisp ? Math.max(1, whole) : 1;
    Object.assign(this.#canvas, { width: w * times, height: h * times });
    this.#canvas.dataset.times = times;
    this.#canvas.style.width = `${Math.round(w * scale)}px`;
    this.#canvas.style.height = `${Math.round(h * scale)}px`;
    if (this.#drawn) this.#enlarge();
  }

  #soon() {
    this.#busy = true;
    requestAnimationFrame(() => this.#turn());
  }

  async #turn() {
    const frame = this.#waiting;
    this.#waiting = null;
    try {
      await this.#show(frame);
    } finally {
      this.#busy = false;
      if (this.#waiting) this.#soon();
    }
  }

  async #show(frame) {
    this.#size(frame);
    try {
      await this.#draw(frame);
    } catch {
      this.skipped += 1; // a browser short of memory decodes nothing; the next picture may do
      return;
    }
    this.#enlarge();
    this.#done(frame);
  }

  #size({ width, height }) {
    if (this.#small.width === width && this.#small.height === height) return;
    Object.assign(this.#small, { width, height });
    this.fit(this.#room.width, this.#room.height);
  }

  async #draw(frame) {
    const pen = this.#small.getContext("2d");
    if (!frame.jpeg) return pen.putImageData(new ImageData(frame.pixels, frame.width, frame.height), 0, 0);
    const decoded = await createImageBitmap(new Blob([frame.pixels], { type: "image/jpeg" }));
    pen.drawImage(decoded, 0, 0);
    decoded.close();
  }

  #enlarge() {
    this.#drawn = true;
    this.#pen.imageSmoothingEnabled = false;
    this.#pen.drawImage(this.#small, 0, 0, this.#canvas.width, this.#canvas.height);
  }

  #done(frame) {
    const now = performance.now();
    this.#painted.push(now);
    this.fps(now);
    this.addedMs += 0.1 * (Date.now() - frame.sent_ms - this.addedMs);
    frame.pixels = null;
    this.frame = frame;
    const { dataset } = this.#canvas;
    dataset.frame = frame.frame;
    dataset.chunk = frame.chunk;
    dataset.epoch = frame.epoch;
    dataset.prompt = frame.prompt;
    if (now - this.#glowed > GLOW_MS) {
      this.#glowed = now;
      this.#glow.drawImage(this.#small, 0, 0, 6, 6);
    }
    this.onpaint(frame, now);
  }
}
