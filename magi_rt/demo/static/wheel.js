// Who steers, and who would like to.

import { complain, notice } from "./notices.js";

/** Shows who steers; lets ask for the wheel and give it. */
export function showWheel(box, link, room, you) {
  const mine = room.wheel === null || room.wheel === you;
  box.replaceChildren();
  if (room.viewers.length < 2 || room.wheel === null) {
    const others = room.viewers.length - 1;
    if (others > 0) box.append(line(`${others + 1} watch, everybody steers`));
    return mine;
  }
  if (mine) {
    box.append(line(`You steer, viewer ${you}`));
    for (const other of room.asking) box.append(button(`Give the wheel to ${other}`, () => link.ask("wheel", { give: other }).then(complain)));
    return mine;
  }
  box.append(line(`Viewer ${room.wheel} steers, you are ${you}`));
  if (room.asking.includes(you)) box.append(line("· asked, yours once it rests"));
  else box.append(button("Ask for the wheel", () => ask(link)));
  return mine;
}

async function ask(link) {
  const answer = complain(await link.ask("wheel"));
  if (answer.ok) notice(answer.yours ? "You steer now." : "You have asked for the wheel.");
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
