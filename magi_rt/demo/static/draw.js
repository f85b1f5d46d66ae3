// Draw your own first picture: things are placed in the room, and the world goes on from there.

import { caption } from "./caption.js";
import { COLOURS, HIGH, LOW, ROOM, SMALL, drawRoom, extentOf } from "./room_look.js";

const MOST_THINGS = 4;
const MOST_WIDTH = 56;
const STEP = 2;
const byId = (name) => document.getElementById(name);

const CHOICES = {
  "draw-shape": ["ball", "box"],
  "draw-size": ["small", "large"],
  "draw-time": ["day", "dusk", "night"],
  "draw-pull": ["down", "up", "left", "right", "none"],
};

export class Drawing {
  #dialog = byId("draw");
  #canvas = byId("draw-room");
  #things = [];
  #held = null;
  #finger = null;
  #cursor = null;

  /** `play(data, text)` is called with the picture as a data: address and its words. */
  constructor(play) {
    offer("draw-colour", Object.keys(COLOURS), (name, dot) => {
      dot.style.background = `rgb(${COLOURS[name]})`;
      dot.title = name;
    });
    for (const [place, names] of Object.entries(CHOICES)) offer(place, names, (name, label) => label.append(name));
    this.#dialog.addEventListener("change", (event) => this.#changed(event.target));
    this.#listen();
    byId("draw-close").onclick = () => this.#dialog.close();
    byId("draw-clear").onclick = () => this.#clear();
    byId("draw-play").onclick = () => {
      this.#cursor = null;
      this.#show();
      play(this.#canvas.toDataURL("image/png"), this.words);
      this.#dialog.close();
    };
  }

  /** The drawn room as a prompt. */
  get words() {
    return caption(this.#things, chosen("draw-time"), chosen("draw-pull"));
  }

  /** Opens it; the room is drawn at the world's own size where that is square. */
  open(facts) {
    const side = facts && facts.width === facts.height ? facts.width : 2 * ROOM;
    this.#canvas.width = this.#canvas.height = Math.min(512, side);
    if (!this.#things.length) this.#begin();
    this.#show();
    this.#dialog.showModal();
  }

  #begin() {
    this.#things = [
      { colour: "red", shape: "ball", large: true, x: 20, y: 24 },
      { colour: "blue", shape: "box", large: false, x: 46, y: HIGH[1] - SMALL },
    ];
    choose("draw-colour", "yellow");
  }

  #clear() {
    this.#things = [];
    this.#show("The room is empty.");
  }

  #listen() {
    const canvas = this.#canvas;
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || this.#held) return;
      const [x, y] = this.#at(event);
      this.#cursor = null;
      this.#held = this.#under(x, y) ?? this.#place(x, y);
      if (!this.#held) return;
      this.#finger = event.pointerId;
      canvas.setPointerCapture(this.#finger);
      this.#held.grip = [this.#held.x - x, this.#held.y - y];
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!this.#held || event.pointerId !== this.#finger) return;
      const [x, y] = this.#at(event);
      this.#move(this.#held, x + this.#held.grip[0], y + this.#held.grip[1]);
    });
    for (const kind of ["pointerup", "pointercancel", "lostpointercapture"]) {
      canvas.addEventListener(kind, ({ pointerId }) => {
        if (pointerId === this.#finger) this.#held = null;
      });
    }
    canvas.addEventListener("dblclick", (event) => this.#remove(this.#under(...this.#at(event))));
    canvas.addEventListener("keydown", (event) => this.#key(event));
    canvas.addEventListener("blur", () => {
      this.#cursor = null;
      this.#show();
    });
  }

  #at(event) {
    const box = this.#canvas.getBoundingClientRect();
    return [((event.clientX - box.left) / box.width) * ROOM, ((event.clientY - box.top) / box.height) * ROOM];
  }

  #under(x, y) {
    return this.#things.findLast((thing) => Math.max(Math.abs(thing.x - x), Math.abs(thing.y - y)) <= extentOf(thing));
  }

  // The world knows each colour once: placing it again moves it.
  #place(x, y) {
    const colour = chosen("draw-colour");
    const thing = { colour, shape: chosen("draw-shape"), large: chosen("draw-size") === "large", x, y };
    const others = this.#things.filter((each) => each.colour !== colour);
    const width = [...others, thing].reduce((sum, each) => sum + 2 * extentOf(each), 0);
    if (others.length >= MOST_THINGS || width > MOST_WIDTH) {
      this.#show("The room is full: take something away or choose a small one.");
      return null;
    }
    this.#things = [...others, thing];
    this.#move(thing, x, y);
    return thing;
  }

  #move(thing, x, y) {
    const extent = extentOf(thing);
    thing.x = Math.min(HIGH[0] - extent, Math.max(LOW[0] + extent, x));
    thing.y = Math.min(HIGH[1] - extent, Math.max(LOW[1] + extent, y));
    this.#show();
  }

  #remove(thing) {
    if (!thing) return;
    this.#things = this.#things.filter((each) => each !== thing);
    this.#show();
  }

  #changed(input) {
    if (input.name === "draw-colour") this.#show(`The next thing is ${input.value}.`);
    else this.#show();
  }

  #key(event) {
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    const doing = way || ["Enter", " ", "Delete", "Backspace"].includes(event.key);
    if (!doing) return;
    event.preventDefault();
    this.#cursor ??= [ROOM / 2, ROOM / 2];
    const [x, y] = this.#cursor;
    if (way && event.shiftKey && this.#under(x, y)) {
      const thing = this.#under(x, y);
      this.#move(thing, thing.x + STEP * way[0], thing.y + STEP * way[1]);
      this.#cursor = [thing.x, thing.y];
    } else if (way) {
      this.#cursor = [x + STEP * way[0], y + STEP * way[1]].map((each) => Math.min(ROOM, Math.max(0, each)));
    } else if (event.key === "Enter" || event.key === " ") {
      if (!this.#place(x, y)) return; // why not is on show
    } else this.#remove(this.#under(x, y));
    this.#show();
  }

  #show(words = "") {
    const pen = this.#canvas.getContext("2d", { willReadFrequently: true });
    const size = this.#canvas.width;
    const image = new ImageData(size, size);
    drawRoom(image, this.#things, chosen("draw-time"), chosen("draw-pull"));
    pen.putImageData(image, 0, 0);
    byId("draw-words").textContent = words || `“${this.words}”`;
    if (!this.#cursor) return;
    const [x, y] = this.#cursor.map((each) => Math.round((each * size) / ROOM));
    pen.fillStyle = "#fff";
    pen.fillRect(x - 3, y, 7, 1);
    pen.fillRect(x, y - 3, 1, 7);
  }
}

function offer(place, names, dress) {
  const box = byId(place);
  for (const name of names) {
    const label = document.createElement("label");
    const input = Object.assign(document.createElement("input"), { type: "radio", name: place, value: name });
    input.checked = name === names[0];
    if (place === "draw-colour") input.setAttribute("aria-label", name);
    const words = document.createElement("span");
    dress(name, words);
    label.append(input, words);
    box.append(label);
  }
}

function chosen(place) {
  return document.querySelector(`#${place} input:checked`).value;
}

function choose(place, name) {
  document.querySelector(`#${place} input[value="${name}"]`).checked = true;
}
