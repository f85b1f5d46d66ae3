// A prompt box: what was said before comes back with the arrow keys; a voice may fill it.

const KEPT = 60;
const PLACE = "magi_rt said";

const said = read();

function read() {
  try {
    const list = JSON.parse(localStorage.getItem(PLACE) ?? "[]");
    return Array.isArray(list) ? list.filter((text) => typeof text === "string") : [];
  } catch {
    return [];
  }
}

function remember(text) {
  const kept = read(); // a page in another tab may have said something since
  if (kept.length) said.splice(0, said.length, ...kept);
  const at = said.indexOf(text);
  if (at >= 0) said.splice(at, 1);
  said.push(text);
  if (said.length > KEPT) said.shift();
  try {
    localStorage.setItem(PLACE, JSON.stringify(said));
  } catch {
    // a browser may refuse to keep anything; the page works without
  }
}

export class PromptBox {
  #input;
  #mic;
  #back = 0; // so many prompts before the draft
  #draft = "";
  #hearing = null;
  #run;

  /** `run(text)` is called with every prompt that is sent; resolves to its answer. */
  constructor(form, run) {
    this.#input = form.querySelector("input");
    this.#mic = form.querySelector(".mic");
    this.#run = run;
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.deaf(); // what is still being heard has been said now
      this.#send();
    });
    this.#input.addEventListener("keydown", (event) => this.#key(event));
    const Recognition = window.SpeechRecognition ?? window.webkitSpeechRecognition;
    this.#mic.hidden = !Recognition;
    if (Recognition) this.#mic.onclick = () => this.#listen(Recognition);
  }

  #send() {
    const text = this.#input.value.trim();
    if (!text) return;
    remember(text);
    this.#back = 0;
    this.#draft = this.#input.value = "";
    this.#run(text).then((answer) => answer.ok || this.offer(text));
  }

  /** What stands in it and was not sent. */
  get words() {
    return this.#input.value;
  }

  get focused() {
    return document.activeElement === this.#input;
  }

  focus() {
    this.#input.focus();
  }

  /** Puts words into it that may be sent, unless something else is being typed. */
  offer(words) {
    if (!this.#input.value && !this.#back) this.#input.value = words;
  }

  #key(event) {
    // an input method has keys of its own; Safari tells its last one only by the number
    if (event.isComposing || event.keyCode === 229) return;
    if (event.shiftKey || event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.key === "Escape") this.#input.blur();
    const step = { ArrowUp: 1, ArrowDown: -1 }[event.key];
    const to = this.#back + step;
    if (!step || to < 0 || to > said.length) return;
    event.preventDefault();
    if (this.#back === 0) this.#draft = this.#input.value;
    this.#back = to;
    this.#input.value = to ? said.at(-to) : this.#draft;
    this.#input.setSelectionRange(this.#input.value.length, this.#input.value.length);
  }

  #listen(Recognition) {
    if (this.#hearing) return this.#hearing.stop();
    const hearing = new Recognition();
    Object.assign(hearing, { lang: "en", interimResults: true });
    hearing.onresult = ({ results }) => {
      const last = results[results.length - 1];
      this.#input.value = last[0].transcript.trim().toLowerCase();
      if (last.isFinal) this.#send();
    };
    hearing.onerror = ({ error }) => this.onvoice(WORDS[error] ?? `the browser heard nothing: ${error}`);
    hearing.onend = () => this.#heard(null);
    this.#heard(hearing);
    hearing.start();
  }

  /** Gives up listening, and what was being heard. */
  deaf() {
    const hearing = this.#hearing;
    if (!hearing) return;
    hearing.onresult = hearing.onerror = hearing.onend = () => {};
    hearing.abort();
    this.#heard(null);
  }

  #heard(hearing) {
    this.#hearing = hearing;
    this.#mic.setAttribute("aria-pressed", String(Boolean(hearing)));
  }

  /** Called with a sentence when the voice cannot be heard. */
  onvoice = () => {};
}

const WORDS = {
  "not-allowed": isSecureContext
    ? "the browser may not use the microphone; allow it beside the address"
    : "browsers give the microphone only to pages by https or from localhost",
  "no-speech": "nothing was heard; press the microphone and speak",
  "audio-capture": "there is no microphone",
  network: "this browser recognises speech over the network, which cannot be reached",
};
