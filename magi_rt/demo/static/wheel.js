// Who steers, and who would like to.

import { complain, notice } from "./notices.js";

/** Shows who steers; lets ask for the wheel and give it. Gives whether this page may steer. */
export function showWheel(box, link, room, you) {
  const parts = partsOf(link, room, you);
  const words = parts.map((part) => part.textContent).join();
  if (words !== box.dataset.words) {
    const focused = box.contains(document.activeElement);
    box.dataset.words = words;
    box.replaceChildren(...parts);
    if (focused) (box.querySelector("button") ?? box).focus();
  }
  return room.wheel === null || room.wheel === you;
}

function partsOf(link, { wheel, viewers, asking }, you) {
  if (viewers.length < 2) return [];
  if (wheel === null) return [line(`${viewers.length} watch, everybody steers`)];
  if (wheel === you) {
    const give = (other) => button(`Give the wheel to ${other}`, () => link.ask("wheel", { give: other }).then(complain));
    return [line(`You steer, viewer ${you}`), ...asking.map(give)];
  }
  const asked = asking.includes(you);
  return [
    line(`Viewer ${wheel} steers, you are ${you}`),
    asked ? line("· asked, yours once it rests") : button("Ask for the wheel", () => ask(link)),
  ];
}

async function ask(link) {
  const answer = complain(await link.ask("wheel"));
  if (answer.ok && !answer.yours) notice("You have asked for the wheel."); // the room tells the other
}

function line(words) {
  const part = document.createElement("span");
  part.textContent = words;
  return part;
}

function button(words, run) {
  const made = Object.assign(document.createElement("button"), { type: "button", textContent: words });
  made.onclick = run;
  return made;
}
