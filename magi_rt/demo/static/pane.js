// A picture with all that belongs to it: screen, prompt box, receipt, strip, and what lies over it.

import { complain, sentence } from "./notices.js";
import { PromptBox } from "./say.js";
import { Screen } from "./screen.js";
import { Strip } from "./strip.js";

const WAITING = 32;
const AT_PACE = 0.85;
const SLOW_MOST = 6;
const capital = (words) => words.charAt(0).toUpperCase() + words.slice(1);

export class Pane {
  facts = null;
  stats = null;
  text = "";
  /** Seconds in which too few pictures were shown, less those with enough; 0 to 6. */
  slow = 0;
  /** The world fails to make pictures, and none is left to show. */
  broken = false;
  #link;
  #expected = new Map();
  #receipt;
  #followed = 0;
  #oldest = 0;

  /**
   * `link`: the connection. `number`: 0 or 1. `moment(pane, note, button)`: a moment was clicked.
   * `shown(ms)`: so long after it was said, a prompt was on the screen.
   */
  constructor(link, number, { moment, shown }) {
    this.#link = link;
    this.number = number;
    this.shown = shown;
    this.element = document.getElementById("picture").content.cloneNode(true).firstElementChild;
    const part = (name) => this.element.querySelector(name);
    this.canvas = part(".view");
    this.frameBox = part(".frame");
    this.shut = part(".shut");
    this.screen = new Screen(this.canvas, part(".glow"));
    this.screen.onpaint = (frame, now) => this.#painted(frame, now);
    this.strip = new Strip(part(".strip"), (note, button) => moment(this, note, button));
    this.box = new PromptBox(part(".say"), (text) => this.say(text));
    this.box.onvoice = (words) => this.tell(sentence(words), "failed");
    this.#receipt = part(".receipt");
    const input = part(".say input");
    const name = number ? "the second picture" : "the picture";
    input.id = `say-${number}`;
    input.placeholder = number ? "Say something else here" : "Say what shall happen";
    input.setAttribute("aria-label", `Prompt for ${name}`);
    this.canvas.setAttribute("aria-label", `${capital(name)}. Drag across it to pull gravity.`);
    this.canvas.dataset.picture = number;
    this.shut.hidden = number === 0;
    this.veil("The world is warming up …", { busy: true });
  }

  /** The counters of the last second. */
  count(stats) {
    if (this.stats) this.#judge(stats, (name) => stats[name] - this.stats[name]);
    this.stats = stats;
    const newest = (this.screen.frame?.chunk ?? 0) + stats.chunks_ready;
    this.#oldest = newest + 1 - (stats.rewindable ?? Infinity);
    this.#mark();
  }

  // A stall is late once, however long it lasts, so pictures are counted, too, give or take one.
  #judge(stats, grown) {
    const shown = grown("frames_shown");
    const late = grown("frames_late") > 0 || shown + 1 < AT_PACE * stats.fps;
    this.slow += late && !stats.paused ? 1 : -1;
    this.slow = Math.min(SLOW_MOST, Math.max(0, this.slow));
    if (shown > 0) this.broken = false;
    else if (grown("failures") > 0) this.broken = true;
  }

  // Entries come after their frames, and a paused picture paints no other frame.
  #mark() {
    if (this.screen.frame) this.strip.mark(this.screen.frame.chunk, this.#oldest);
  }

  /** Says a prompt and follows it until it is seen. */
  say(text) {
    return this.follow(this.#link.ask("prompt", { text, picture: this.number }), text);
  }

  /** Shows what becomes of a request that ends as a prompt. */
  async follow(asked, words = "") {
    const begun = performance.now();
    if (words) this.tell(words, "sent", "…");
    const answer = await asked;
    if (!answer.ok) {
      this.tell(sentence(answer.error), "failed");
      return answer;
    }
    if (!answer.text) return answer;
    this.tell(answer.text, "heard", "heard");
    this.#followed = answer.prompt;
    this.#expect(answer, begun);
    this.#applied(answer.prompt, await answer.receipt);
    return answer;
  }

  // A prompt that a newer one has replaced fails, too, which needs no words.
  #applied(prompt, receipt) {
    if (receipt.ok) this.canvas.dataset.worldMs = receipt.ms;
    else this.#expected.delete(prompt);
    if (!receipt.ok && prompt === this.#followed) this.tell(sentence(receipt.error), "failed");
  }

  #expect(answer, begun) {
    this.#expected.set(answer.prompt, { text: answer.text, begun });
    if (this.#expected.size > WAITING) this.#expected.delete(this.#expected.keys().next().value);
    if (this.screen.frame?.prompt === answer.prompt) this.#seen(answer.prompt, performance.now());
  }

  #painted(frame, now) {
    if (this.#expected.has(frame.prompt)) this.#seen(frame.prompt, now);
    this.unveil();
    this.#mark();
  }

  #seen(prompt, now) {
    const { text, begun } = this.#expected.get(prompt);
    this.#expected.delete(prompt);
    const ms = Math.round(now - begun);
    this.canvas.dataset.shownMs = ms;
    this.tell(text, "shows", `on the picture after ${ms} ms`);
    this.shown(ms);
  }

  /** A line below the prompt box: what, in which state, and how it goes. */
  tell(what, state, how = "") {
    const strong = document.createElement("b");
    const rest = document.createElement("span");
    strong.textContent = what;
    rest.textContent = how && ` · ${how}`;
    this.#receipt.className = `receipt ${state}`;
    this.#receipt.title = what;
    if (state === "failed") this.#receipt.replaceChildren(what);
    else this.#receipt.replaceChildren(strong, rest);
  }

  /** What shapes the picture now. */
  #shapes(text) {
    const news = text !== this.text && !this.#receipt.classList.contains("sent");
    this.text = text;
    if (news && this.#receipt.querySelector("b")?.textContent !== text) this.tell(text, "shows");
  }

  /** A moment begins to show. */
  chunk(note) {
    this.strip.add(note);
    this.#mark();
    this.#shapes(note.text);
  }

  /** All that is known of the picture, again. */
  card(facts) {
    this.facts = facts;
    this.strip.fill(facts.strip);
    this.#mark();
    this.#shapes(facts.strip.at(-1)?.text ?? "");
  }

  /** Lays a sentence over the picture; `again` is called when the button is pressed. */
  veil(words, { busy = false, again = null } = {}) {
    const veil = this.element.querySelector(".veil");
    veil.hidden = false;
    veil.classList.toggle("still", !busy);
    veil.querySelector("p").textContent = words;
    const button = veil.querySelector("button");
    button.hidden = !again;
    button.onclick = again;
  }

  /** Takes it away. */
  unveil() {
    this.element.querySelector(".veil").hidden = true;
  }

  /** Takes it off the page. */
  close() {
    this.box.deaf();
    this.element.remove();
  }

  /** Goes back to a moment. */
  async rewind(chunk) {
    this.canvas.focus({ preventScroll: true }); // on the strip arrow keys would not pull gravity
    const answer = complain(await this.#link.ask("rewind", { chunk, picture: this.number }));
    if (answer.ok) this.tell(`Back at moment ${chunk}`, "heard");
  }
}
