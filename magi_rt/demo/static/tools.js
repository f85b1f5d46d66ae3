// The tools below the picture: pause, begin anew, pictures as a start, video, snapshots, replay file.

import { complain, notice } from "./notices.js";

const MOST_BYTES = 8 * 2 ** 20;
const SEEDS = 2 ** 31;
const byId = (name) => document.getElementById(name);

/** Makes the tools work; `ask(verb, values)` asks the program. */
export function wireTools(link, state) {
  const ask = async (verb, values) => complain(await link.ask(verb, values));
  byId("pause").onclick = () => ask(state.paused ? "resume" : "pause");
  byId("anew").onclick = () => anew(ask);
  byId("record").onclick = () => record(ask, state);
  byId("replay").onclick = () => replay();
  byId("file").onclick = () => byId("chosen").click();
  byId("chosen").onchange = ({ target }) => {
    if (target.files[0]) fromFile(target.files[0], link);
    target.value = "";
  };
  wireSnapshots(ask);
  wireDrop(link);
}

/** Shows whether the world stands still and whether it is being recorded. */
export function showTools(state) {
  const pause = byId("pause");
  pause.querySelector("span").textContent = state.paused ? "Go on" : "Pause";
  pause.querySelector("use").setAttribute("href", state.paused ? "#i-play" : "#i-pause");
  const { recording } = state.room;
  byId("record").classList.toggle("on", recording);
  byId("record").querySelector("span").textContent = recording ? "Stop recording" : "Record";
  for (const button of byId("tools").querySelectorAll("button")) {
    button.disabled = !state.live || (!state.steering && button.id !== "replay");
  }
}

async function anew(ask) {
  const seed = Math.floor(Math.random() * SEEDS);
  if ((await ask("reset", { seed })).ok) notice(`A new world begins, from seed ${seed}.`);
}

async function record(ask, state) {
  const on = !state.room.recording;
  const answer = await ask("record", { on });
  if (!answer.ok) return;
  if (on) return notice("Recording. Press the same button to end it.");
  download(answer.file, answer.file.split("/").pop());
  showRecorded(answer, "", "Download again");
}

/** Tells of a video that is finished, and offers it. */
export function showRecorded({ file, frames, left_out }, why = "", label = "Download") {
  const missing = left_out ? `; ${left_out} came too fast and are not in it` : "";
  notice(`${why}${frames} pictures recorded${missing}.`, { label, href: file, file: file.split("/").pop() }, 12);
}

async function replay() {
  const answer = await fetch("replay.json?picture=0").catch(() => null);
  if (!answer) return notice("The replay file cannot be read: the page is not connected.");
  if (!answer.ok) return notice((await answer.json().catch(() => ({}))).error ?? "There is no replay file.");
  const address = URL.createObjectURL(await answer.blob());
  download(address, "run.json");
  setTimeout(() => URL.revokeObjectURL(address), 10000);
  notice("run.json is the run so far: World.replay(\"run.json\") repeats it.");
}

function download(address, name) {
  const link = Object.assign(document.createElement("a"), { href: address, download: name });
  document.body.append(link);
  link.click();
  link.remove();
}

function wireSnapshots(ask) {
  const [form, name, names] = [byId("saved"), byId("saved-name"), byId("saved-names")];
  form.addEventListener("toggle", ({ newState }) => {
    if (newState === "open") beside(form, byId("keep"));
  });
  form.onsubmit = async (event) => {
    event.preventDefault();
    const answer = await ask("save", { name: name.value.trim() });
    if (!answer.ok) return;
    form.hidePopover();
    if (![...names.children].some((each) => each.value === answer.name)) {
      names.append(Object.assign(document.createElement("option"), { value: answer.name }));
    }
    notice(`Snapshot “${answer.name}” is saved.`);
  };
  byId("load").onclick = async () => {
    if (!(await ask("load", { name: name.value.trim() })).ok) return;
    form.hidePopover();
    notice(`The world goes on from snapshot “${name.value.trim()}”.`);
  };
}

/** Puts a menu above or below what opened it, inside the window. */
export function beside(menu, opener) {
  const [box, own] = [opener.getBoundingClientRect(), menu.getBoundingClientRect()];
  const left = Math.min(Math.max(8, box.left), innerWidth - own.width - 8);
  const above = box.top - own.height - 8;
  menu.style.left = `${left}px`;
  menu.style.top = `${above > 8 ? above : Math.min(box.bottom + 8, innerHeight - own.height - 8)}px`;
}

function wireDrop(link) {
  const sheet = byId("drop");
  const carries = (event) => event.dataTransfer?.types.includes("Files");
  let depth = 0;
  addEventListener("dragenter", (event) => {
    if (!carries(event)) return;
    depth += 1;
    sheet.hidden = false;
  });
  addEventListener("dragleave", () => {
    depth = Math.max(0, depth - 1);
    sheet.hidden = depth === 0;
  });
  // words may be dropped into a box; links that fall elsewhere must not lead away from the page
  const forBox = (event) => !carries(event) && event.target.closest?.('input[type="text"]');
  addEventListener("dragover", (event) => forBox(event) || event.preventDefault());
  addEventListener("drop", (event) => {
    if (forBox(event)) return;
    event.preventDefault();
    depth = 0;
    sheet.hidden = true;
    const file = [...(event.dataTransfer?.files ?? [])].find((each) => each.type.startsWith("image/"));
    if (file) fromFile(file, link);
    else if (carries(event)) notice("That is no picture; drop a PNG, JPEG or WebP file.");
  });
}

async function fromFile(file, link) {
  if (file.size > MOST_BYTES) {
    return notice(`${file.name} has ${(file.size / 2 ** 20).toFixed(1)} MiB; a start may have 8.`);
  }
  const data = await read(file).catch(() => null);
  if (data === null) return notice(`${file.name} cannot be read.`);
  if (complain(await link.ask("image", { data, text: "" })).ok) notice(`The world begins from ${file.name}.`);
}

function read(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
}
