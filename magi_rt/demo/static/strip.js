// The strip of moments: thumbnails of chunks, gathered in runs that one prompt shaped.

const MOST = 240;
const FAR = "Too far back to return to";

export class Strip {
  #list;
  #entries = [];
  #choose;
  #here = null;

  /** `choose(note, button)` is called when a moment is clicked. */
  constructor(list, choose) {
    this.#list = list;
    this.#choose = choose;
    list.addEventListener("keydown", (event) => this.#walk(event));
  }

  /** Shows these moments and no others. */
  fill(notes) {
    this.#list.replaceChildren();
    this.#entries = [];
    this.#here = null;
    for (const note of notes) this.add(note);
  }

  /** A moment begins; later ones do not count any more. */
  add(note) {
    const atEnd = this.#list.scrollLeft + this.#list.clientWidth > this.#list.scrollWidth - 80;
    while (this.#entries.length && this.#entries.at(-1).note.chunk >= note.chunk) this.#drop(this.#entries.pop());
    const last = this.#entries.at(-1);
    const run = last?.note.prompt === note.prompt ? last.run : this.#newRun(note);
    const button = this.#button(note);
    run.lastChild.append(button);
    this.#entries.push({ note, run, button });
    if (this.#entries.length > MOST) this.#drop(this.#entries.shift());
    if (atEnd) this.#list.scrollLeft = this.#list.scrollWidth;
    if (this.#entries.length === 1) button.tabIndex = 0;
  }

  /** Marks the moment on show, and those that are too far back to return to. */
  mark(chunk, oldest) {
    for (const { note, button } of this.#entries) {
      const far = note.chunk < oldest;
      if (far !== button.classList.contains("far")) {
        button.classList.toggle("far", far);
        button.title = far ? FAR : ""; // paleness alone is not heard
      }
      if (note.chunk !== chunk || button === this.#here) continue;
      this.#here?.classList.remove("here");
      this.#here?.removeAttribute("aria-current");
      button.classList.add("here");
      button.setAttribute("aria-current", "true");
      this.#here = button;
    }
  }

  #newRun(note) {
    const run = document.createElement("li");
    const title = document.createElement("h3");
    const words = document.createElement("span");
    words.textContent = note.text || "no prompt";
    words.title = note.text;
    title.append(words);
    run.append(title, document.createElement("div"));
    this.#list.append(run);
    return run;
  }

  #button(note) {
    const button = document.createElement("button");
    button.type = "button";
    button.tabIndex = -1;
    button.dataset.chunk = note.chunk;
    button.setAttribute("aria-label", `Moment ${note.chunk}, ${note.text || "no prompt"}`);
    const picture = new Image();
    picture.src = note.thumb;
    picture.alt = "";
    button.append(picture);
    button.onclick = () => this.#choose(note, button);
    button.onfocus = () => this.#rove(button);
    return button;
  }

  #drop({ run, button }) {
    const focused = button === document.activeElement;
    if (button === this.#here) this.#here = null;
    const stop = button.tabIndex === 0;
    button.remove();
    if (!run.lastChild.children.length) run.remove();
    const next = this.#entries.at(-1)?.button;
    if (stop && next) next.tabIndex = 0;
    if (focused) next?.focus();
  }

  #rove(button) {
    for (const entry of this.#entries) entry.button.tabIndex = entry.button === button ? 0 : -1;
  }

  #walk(event) {
    const at = this.#entries.findIndex((entry) => entry.button === document.activeElement);
    const last = this.#entries.length - 1;
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: last }[event.key];
    if (at < 0 || to === undefined) return;
    event.preventDefault();
    this.#entries[Math.min(last, Math.max(0, to))].button.focus();
  }
}
