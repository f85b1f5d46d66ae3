// The quiet panel: a few numbers, once a second.

const DELAYS = 24;
const ROWS = {
  "Pictures per second": "Shown here, of what the world's clock asks for",
  "Prompt to picture": "From saying a prompt until a picture shows it; the last ones as bars",
  "Page adds": "From the program to the screen, where both have one clock",
  "Making a chunk": "A chunk is the pictures that are made together; beyond the second number the world falls behind",
  "Chunks ready": "Made and not shown yet",
  "Pictures late": "Times that the next picture was not ready; the world then waits for it",
  "Pictures skipped here": "Came faster than this page painted",
  "Steps": "Rounds of the network over a chunk",
  "Model": "",
  "Backend": "What computes the networks",
};

export class Panel {
  #list;
  #cells;
  #delays = [];
  #bars;

  /** `list` gets the numbers, `meanings` what they say. */
  constructor(list, meanings) {
    this.#list = list;
    this.#bars = document.createElement("canvas");
    this.#bars.setAttribute("role", "img");
    this.#bars.hidden = true;
    this.#cells = new Map(Object.entries(ROWS).map(([name, why]) => [name, this.#add(name, why)]));
    for (const [name, why] of Object.entries(ROWS)) if (why) meanings.append(...pair(name, why));
  }

  /** A prompt was seen so many milliseconds after it was said. */
  delay(ms) {
    this.#delays.push(ms);
    if (this.#delays.length > DELAYS) this.#delays.shift();
    this.#set("Prompt to picture", `${ms} ms`);
    const middle = this.#delays.toSorted((a, b) => a - b)[this.#delays.length >> 1];
    this.#bars.setAttribute("aria-label", `The last ${this.#delays.length}: half within ${middle} ms`);
    this.#bars.hidden = this.#delays.length < 2;
    this.#draw();
  }

  /** What is known of a pane and the room now. */
  show(pane, room) {
    const { stats, facts, screen } = pane;
    if (!facts) return;
    const fps = screen.fps();
    this.#set("Pictures per second", `${fps.toFixed(1)} of ${stats?.fps ?? facts.fps}`);
    if (!this.#delays.length) this.#set("Prompt to picture", "–");
    this.#set("Page adds", `${Math.max(0, screen.addedMs).toFixed(0)} ms`, sane(screen.addedMs));
    if (stats?.chunk_ms) this.#pace(stats, facts);
    this.#set("Chunks ready", `${stats?.chunks_ready ?? "–"}`);
    this.#set("Pictures late", `${stats?.frames_late ?? "–"}`);
    this.#set("Pictures skipped here", `${screen.skipped}`);
    this.#set("Steps", `${stats?.steps}`, Boolean(stats?.steps));
    this.#set("Model", `${facts.model}, ${facts.width} × ${facts.height}`);
    this.#set("Backend", room.backend, Boolean(room.backend));
  }

  #pace(stats, facts) {
    const real_ms = (1000 * facts.frames_per_chunk) / stats.fps;
    const words = `${stats.chunk_ms.toFixed(0)} of ${real_ms.toFixed(0)} ms`;
    this.#set("Making a chunk", words, true, stats.chunk_ms > real_ms);
  }

  #set(name, value, known = true, warn = false) {
    const [title, cell] = this.#cells.get(name);
    title.hidden = cell.hidden = !known;
    if (cell.textContent !== value) cell.textContent = value;
    cell.classList.toggle("warn", warn);
  }

  #add(name, why) {
    const [title, cell] = pair(name, "");
    title.title = cell.title = why;
    title.hidden = cell.hidden = true;
    this.#list.append(title, cell);
    if (name === "Prompt to picture") this.#list.append(this.#bars);
    return [title, cell];
  }

  #draw() {
    const bars = this.#bars;
    const [width, height] = [bars.clientWidth, bars.clientHeight].map((each) => each * devicePixelRatio);
    Object.assign(bars, { width, height });
    const pen = bars.getContext("2d");
    pen.fillStyle = getComputedStyle(bars).getPropertyValue("--accent");
    const most = Math.max(...this.#delays, 1);
    const step = width / DELAYS;
    this.#delays.forEach((ms, place) => {
      const tall = Math.max(2, (height * ms) / most);
      pen.fillRect(place * step, height - tall, step * 0.66, tall);
    });
  }
}

function pair(name, words) {
  const [title, cell] = ["dt", "dd"].map((kind) => document.createElement(kind));
  title.textContent = name;
  cell.textContent = words;
  return [title, cell];
}

// Clocks of two machines may differ by more than a frame takes.
function sane(ms) {
  return ms > -5 && ms < 2000;
}
