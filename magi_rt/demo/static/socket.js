// The connection: requests with answers and receipts, events, frames; comes back by itself.

const FIRST_MS = 300;
const LONGEST_MS = 8000;
const SILENCE_MS = 12000;
const DOUBT_MS = 2000;
const OPENING_MS = 8000;
const HASTE_MS = 1000;
const CONNECTING = 0;
const BROKEN = 1006;
const CLOSED_TO_US = 4403;
const FULL = 4429;
const HEAD_BYTES = 32;
const CHANGING = new Set(["prompt", "key", "pull", "rewind", "reset", "image", "load"]);

export class Link extends EventTarget {
  #address;
  #socket = null;
  #ids = 0;
  #answers = new Map();
  #receipts = new Map();
  #wait_ms = FIRST_MS;
  #timer = 0;
  #heard = 0;
  #doubted = performance.now();
  #told = false;
  #dialled = 0;
  #welcome = false;

  /** Called with every frame: {picture, jpeg, first, epoch, chunk, frame, prompt, width, height, sent_ms, pixels}. */
  onframe = () => {};

  constructor(address) {
    super();
    this.#address = address;
    addEventListener("online", () => this.again());
    document.addEventListener("visibilitychange", () => document.hidden || this.again());
    setInterval(() => this.#doubt(), DOUBT_MS);
  }

  get open() {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  /** Connects now, if it is not connected; what does not come up within a second is left. */
  again() {
    const now = performance.now();
    const young = this.#socket?.readyState === CONNECTING && now - this.#dialled < HASTE_MS;
    if (this.open || young) return;
    // one that is still closing will never answer
    if (this.#socket) this.#leave(this.#socket);
    clearTimeout(this.#timer);
    this.#dialled = now;
    this.#welcome = false;
    const socket = new WebSocket(this.#address);
    socket.binaryType = "arraybuffer";
    socket.onmessage = ({ data }) => {
      if (socket !== this.#socket) return;
      this.#heard = performance.now();
      if (typeof data === "string") this.#hear(JSON.parse(data));
      else this.onframe(readFrame(data));
    };
    socket.onclose = ({ code, reason }) => this.#lost(socket, code, reason);
    this.#socket = socket;
    // a tunnel that is half dead takes a connection and never answers
    setTimeout(() => socket === this.#socket && !this.#welcome && this.#leave(socket), OPENING_MS);
  }

  #leave(socket) {
    this.#lost(socket, BROKEN, "");
    socket.close();
  }

  /** Asks for something; resolves to the answer, whose `receipt` resolves when it shows. */
  ask(verb, values = {}) {
    if (!this.open) return Promise.resolve({ ok: false, error: "The page is not connected." });
    const id = ++this.#ids;
    const answer = new Promise((resolve) => this.#answers.set(id, resolve));
    if (CHANGING.has(verb)) {
      const entry = {};
      entry.promise = new Promise((resolve) => (entry.resolve = resolve));
      this.#receipts.set(id, entry);
    }
    this.#socket.send(JSON.stringify({ id, do: verb, ...values }));
    return answer;
  }

  #hear(event) {
    if (event.event === "answer") this.#answered(event);
    else if (event.event === "applied") {
      this.#receipts.get(event.id)?.resolve(event);
      this.#receipts.delete(event.id);
    } else {
      if (event.event === "welcome") {
        this.#wait_ms = FIRST_MS;
        this.#welcome = true;
      }
      if (event.event === "stats") this.#told = true;
      this.dispatchEvent(new CustomEvent(event.event, { detail: event }));
    }
  }

  #answered(event) {
    const receipt = this.#receipts.get(event.id);
    if (!event.ok || event.text === null) this.#receipts.delete(event.id);
    this.#answers.get(event.id)?.({ ...event, receipt: receipt?.promise });
    this.#answers.delete(event.id);
  }

  #lost(socket, code, reason) {
    if (socket !== this.#socket) return;
    this.#socket = null;
    this.#told = false;
    const failed = { ok: false, error: "The connection was lost." };
    for (const resolve of this.#answers.values()) resolve(failed);
    for (const receipt of this.#receipts.values()) receipt.resolve(failed);
    this.#answers.clear();
    this.#receipts.clear();
    const wait_ms = code === CLOSED_TO_US ? 0 : this.#wait_ms * (0.8 + 0.4 * Math.random());
    const why = code === FULL ? reason : "";
    this.dispatchEvent(new CustomEvent("lost", { detail: { wait_ms, why, refused: !wait_ms } }));
    this.#wait_ms = Math.min(LONGEST_MS, this.#wait_ms * 1.7);
    if (wait_ms) this.#timer = setTimeout(() => this.again(), wait_ms);
  }

  // Statistics come every second: long silence means that the other end is gone. A doubt that comes
  // late says that the page itself stood still: what came meanwhile may wait to be read.
  #doubt() {
    const now = performance.now();
    const late = now - this.#doubted > 2 * DOUBT_MS;
    this.#doubted = now;
    if (late) this.#heard = Math.max(this.#heard, now - SILENCE_MS + DOUBT_MS);
    const silent = now - this.#heard > SILENCE_MS;
    if (this.open && this.#told && silent && !document.hidden) this.#socket.close();
  }
}

function readFrame(data) {
  const view = new DataView(data);
  return {
    picture: view.getUint8(1),
    jpeg: view.getUint8(2) === 1,
    first: view.getUint8(3) === 1,
    epoch: view.getUint32(4, true),
    chunk: view.getUint32(8, true),
    frame: view.getUint32(12, true),
    prompt: view.getUint32(16, true),
    width: view.getUint16(20, true),
    height: view.getUint16(22, true),
    sent_ms: view.getFloat64(24, true),
    pixels: new Uint8ClampedArray(data, HEAD_BYTES),
  };
}
