// Suggestions: prompts the world knows well, each with the key that says it.

const NAMES = { left: "←", right: "→", up: "↑", down: "↓", space: "space", enter: "↵", escape: "esc" };
const SAME = { " ": "space", arrowleft: "left", arrowright: "right", arrowup: "up", arrowdown: "down" };

const SHORTCUTS = { left: "ArrowLeft", right: "ArrowRight", up: "ArrowUp", down: "ArrowDown", space: "Space", enter: "Enter", escape: "Escape" };

/** The name that an action map has for a KeyboardEvent.key. */
export function keyName(key) {
  const small = key.toLowerCase();
  return SAME[small] ?? small;
}

/** Fills the box with the groups of an action map; `say(text)` is called on a click. */
export function showChips(box, actions, say) {
  const keys = new Map(Object.entries(actions.keys).map(([key, text]) => [text, key]));
  box.replaceChildren(...actions.suggestions.map((group) => {
    const part = document.createElement("div");
    const title = document.createElement("h3");
    const row = document.createElement("div");
    title.textContent = group.title;
    row.append(...group.prompts.map((text) => chip(text, keys.get(text), say)));
    part.append(title, row);
    return part;
  }));
}

function chip(text, key, say) {
  const button = document.createElement("button");
  button.type = "button";
  button.dataset.text = text;
  button.append(text);
  if (key) {
    const cap = document.createElement("kbd");
    cap.textContent = NAMES[key] ?? key;
    button.append(cap);
    button.setAttribute("aria-keyshortcuts", SHORTCUTS[key] ?? key);
  }
  button.onclick = () => say(text);
  return button;
}

/** Marks the chip of what shapes the picture. */
export function markChip(box, text) {
  for (const button of box.querySelectorAll("button")) {
    button.classList.toggle("now-on", button.dataset.text === text);
  }
}
