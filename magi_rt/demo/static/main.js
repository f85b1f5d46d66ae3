// Puts the page together: what the program tells is shown, what the viewer does is asked for.

import { keyName, markChip, showChips } from "./chips.js";
import { Drawing } from "./draw.js";
import { canTilt, listenToDrags, listenToGamepads, listenToKeys, listenToTilt } from "./gestures.js";
import { complain, notice, sentence } from "./notices.js";
import { Pane } from "./pane.js";
import { Panel } from "./panel.js";
import { Link } from "./socket.js";
import { beside, showRecorded, showTools, wireTools } from "./tools.js";
import { showWheel } from "./wheel.js";

const byId = (name) => document.getElementById(name);
const address = new URL(`ws${location.search}`, location.href);
address.protocol = location.protocol === "https:" ? "wss:" : "ws:";

const PATIENCE_MS = 4000;
const WHY_LONG = "The first time on a machine its networks are converted, which takes longer.";

const link = new Link(address);
const panel = new Panel(byId("numbers"), byId("meanings"));
const state = {
  you: 0,
  room: { state: "", viewers: [], wheel: null, asking: [], recording: false, backend: "", pictures: 0 },
  actions: { keys: {}, pull: {}, suggestions: [] },
  paused: false,
  live: false,
  steering: true,
  chosen: 0,
  forking: false,
};
const panes = [];
const chosen = () => panes[state.chosen] ?? panes[0];

// Pictures

function openPane() {
  const number = panes.length;
  const pane = new Pane(link, number, { moment: openMenu, shown: (ms) => panel.delay(ms) });
  panes.push(pane);
  byId("stage").append(pane.element);
  for (const kind of ["pointerdown", "focusin"]) pane.element.addEventListener(kind, () => choose(number));
  listenToDrags(pane, (device, x, y) => pull(pane, device, x, y));
  pane.shut.onclick = () => link.ask("unfork").then(complain);
  arrange();
  return pane;
}

function closeSecond() {
  const pane = panes.pop();
  const focused = pane.element.contains(document.activeElement);
  const typing = pane.box.focused;
  panes[0].box.offer(pane.box.words);
  pane.close();
  choose(0);
  arrange();
  // on the picture, the rest of what is being typed would be keys
  if (typing) panes[0].box.focus();
  else if (focused) panes[0].canvas.focus({ preventScroll: true });
}

function choose(number) {
  state.chosen = number;
  for (const pane of panes) pane.element.classList.toggle("chosen", pane.number === number);
  markChip(byId("chips"), chosen()?.text);
}

// The picture gets the height that the window leaves, so that prompt, strip and tools stay in sight.
function arrange() {
  byId("stage").classList.toggle("two", panes.length > 1);
  const narrow = innerWidth <= 640;
  const rest = byId("tools").offsetHeight + 56 + 42 + 50 + 96 + 34;
  const height = Math.max(narrow ? 200 : 260, Math.min(768, innerHeight - rest));
  for (const pane of panes) {
    pane.screen.crisp = byId("crisp-on").checked;
    pane.screen.fit(pane.element.clientWidth || 320, height);
  }
}

// Requests

function pull(pane, device, x, y) {
  if (!state.live) return;
  if (state.steering) pane.follow(link.ask("pull", { device, x, y, picture: pane.number }));
  else pane.tell(`Viewer ${state.room.wheel} steers; ask for the wheel first.`, "failed");
}

function openMenu(pane, note, button) {
  const menu = byId("moment");
  byId("moment-text").textContent = `Moment ${note.chunk}${note.text ? ` · ${note.text}` : ""}`;
  const two = panes.length > 1;
  byId("moment-beside").disabled = two;
  byId("moment-beside").title = two ? "Close the second picture first" : "";
  const run = (work) => () => {
    menu.hidePopover();
    work();
  };
  byId("moment-back").onclick = run(() => pane.rewind(note.chunk));
  byId("moment-beside").onclick = run(() => fork(note.chunk));
  menu.showPopover();
  beside(menu, button);
  byId("moment-back").focus();
}

async function fork(chunk) {
  const waiting = notice("The second picture opens …", null, 0);
  state.forking = true;
  const answer = complain(await link.ask("fork", { chunk }));
  state.forking &&= answer.ok;
  waiting();
  if (answer.ok) notice("Two pictures from the same moment: say something else to each.");
}

// What the program tells

link.onframe = (frame) => panes[frame.picture]?.screen.take(frame);

const hear = {
  welcome({ you, actions }) {
    state.you = you;
    state.actions = actions;
    showChips(byId("chips"), actions, (text) => chosen().say(text));
  },
  room(room) {
    const asking = room.asking.filter((each) => !state.room.asking.includes(each));
    const held = state.room.wheel === state.you;
    state.room = room;
    state.live = room.state === "live";
    while (panes.length > Math.max(1, room.pictures)) closeSecond();
    const before = state.steering;
    state.steering = showWheel(byId("wheel"), link, room, state.you);
    if (!before && state.steering && room.viewers.length > 1) notice("You steer now.");
    if (held && !state.steering) notice(`Viewer ${room.wheel} steers now.`);
    if (room.wheel === state.you) for (const each of asking) offerWheel(each);
    if (room.state === "failed") panes[0].veil(sentence(room.failure));
    else if (!state.live) warming();
    showTools(state);
    showState();
  },
  picture(facts) {
    const known = panes[facts.picture];
    const pane = known ?? openPane();
    pane.card(facts);
    if (facts.picture === 0) state.paused = facts.paused;
    // one that somebody else opens leaves this page's keys where they are
    if (known || !state.forking) markChip(byId("chips"), chosen().text);
    else choose(facts.picture);
    if (!known) state.forking = false;
    showTools(state);
  },
  chunk(note) {
    panes[note.picture]?.chunk(note);
    if (note.picture === state.chosen) markChip(byId("chips"), note.text);
  },
  said({ picture, text, by }) {
    if (by !== state.you) panes[picture]?.tell(text, "heard", `viewer ${by}`);
  },
  paused({ paused }) {
    state.paused = paused;
    showTools(state);
    showState();
  },
  stats(stats) {
    const pane = panes[stats.picture];
    if (!pane) return;
    pane.count(stats);
    const paused = Boolean(stats.paused ?? state.paused);
    if (stats.picture === 0 && paused !== state.paused) {
      state.paused = paused;
      showTools(state);
    }
    showState();
    if (pane === chosen()) panel.show(pane, state.room);
  },
  recorded(told) {
    if (told.file) showRecorded(told, told.why && `${sentence(told.why)} `);
    else notice(sentence(told.error));
  },
  ended({ picture, reason }) {
    panes[picture]?.veil(`The world's server has ended: ${reason}.`);
  },
  lost({ wait_ms, why, refused }) {
    state.live = false;
    state.refused = refused;
    state.lost = true;
    for (const pane of panes) pane.veil(...lostWords(wait_ms, why, refused));
    showTools(state);
    showState();
  },
};
for (const [name, run] of Object.entries(hear)) link.addEventListener(name, ({ detail }) => run(detail));

function warming() {
  const long = performance.now() > PATIENCE_MS;
  panes[0].veil(`The world is warming up${long ? `. ${WHY_LONG}` : " …"}`, { busy: true });
}
setTimeout(() => state.room.state === "warming up" && link.open && warming(), PATIENCE_MS + 50);

function lostWords(wait_ms, why, refused) {
  if (refused) return ["This page may not use the demo. Open the address that magi-rt demo printed.", {}];
  const words = why ? sentence(why) : "The demo does not answer. The page keeps trying.";
  return [words, { busy: true, again: () => link.again() }];
}

function offerWheel(viewer) {
  const give = () => link.ask("wheel", { give: viewer }).then(complain);
  notice(`Viewer ${viewer} asks for the wheel.`, { label: "Give it", run: give }, 15);
}

function showState() {
  const [kind, words, detail = ""] = stateWords();
  const line = byId("state");
  line.dataset.kind = kind;
  const [text, more] = line.querySelectorAll("span");
  if (text.textContent !== words) text.textContent = words;
  more.textContent = detail;
}

function stateWords() {
  const { room } = state;
  const stats = panes[0].stats;
  if (!link.open) return ["bad", state.refused ? "Not let in" : "Disconnected, trying again"];
  if (room.state === "failed") return ["bad", "The world could not be opened"];
  if (!state.live) return ["wait", "Warming up"];
  if (stats && !stats.connected) return ["bad", "The world's server does not answer"];
  if (state.paused) return ["warn", "Paused"];
  if (panes.some((pane) => pane.broken)) return ["bad", "The world makes no pictures", "· its terminal says why"];
  if (panes[0].slow >= 3) return ["warn", "Slower than real time", `· ${panes[0].screen.fps().toFixed(0)} of ${stats.fps} pictures a second`];
  return ["good", `Live · ${panes[0].facts?.model ?? ""}`];
}

// What the viewer does

listenToKeys({
  known: (key) => byId("keys-on").checked && keyName(key) in state.actions.keys,
  press: (key) => chosen().follow(link.ask("key", { key, picture: chosen().number })),
  focusPrompt: () => chosen().box.focus(),
});
listenToGamepads((device, x, y) => pull(chosen(), device, x, y));
wireTools(link, state);

const drawing = new Drawing(async (data, text) => {
  const answer = complain(await link.ask("image", { data, text }));
  if (answer.ok) panes[0].tell("Your picture", "heard", "the world begins from it");
});
byId("pencil").onclick = () => drawing.open(panes[0].facts);

byId("plain").hidden = isSecureContext;
byId("tilt-row").hidden = !canTilt();
byId("tilt-on").disabled = !isSecureContext;
let endTilt = null;
byId("tilt-on").onchange = async ({ target }) => {
  endTilt?.();
  endTilt = null;
  if (!target.checked) return;
  try {
    const end = await listenToTilt((device, x, y) => pull(chosen(), device, x, y));
    if (!target.checked || endTilt) end(); // it was switched while the browser asked
    else endTilt = end;
  } catch (error) {
    target.checked = false;
    notice(sentence(error.message));
  }
};

byId("crisp-on").onchange = arrange;
addEventListener("resize", arrange);
new ResizeObserver(arrange).observe(byId("stage"));

openPane();
choose(0);
showTools(state);
link.again();
