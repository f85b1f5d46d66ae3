// Short sentences at the foot of the page, which screen readers speak.

const SECONDS = 6;
const MOST = 3;

/** Says a sentence; `action` is {label, run} or {label, href, file}. Gives a function that takes it back. */
export function notice(sentence, action = null, seconds = SECONDS) {
  const box = document.getElementById("toasts");
  const toast = document.createElement("div");
  toast.className = "toast";
  const words = document.createElement("span");
  words.textContent = sentence;
  toast.append(words);
  const gone = () => toast.remove();
  if (action) toast.append(made(action, gone));
  box.append(toast);
  while (box.children.length > MOST) box.firstChild.remove();
  if (seconds) setTimeout(gone, 1000 * seconds);
  return gone;
}

function made(action, gone) {
  if (action.href) {
    const link = Object.assign(document.createElement("a"), { href: action.href, textContent: action.label });
    link.download = action.file;
    return link;
  }
  const button = Object.assign(document.createElement("button"), { type: "button", textContent: action.label });
  button.onclick = () => {
    action.run();
    gone();
  };
  return button;
}

/** Tells what went wrong, if it did, now or until it shows; gives the answer on. */
export function complain(answer) {
  if (!answer.ok) notice(sentence(answer.error), null, 2 * SECONDS);
  answer.receipt?.then(complain);
  return answer;
}

/** A text as a sentence: a capital first, a full stop last. */
export function sentence(text) {
  const trimmed = String(text).trim();
  return trimmed.charAt(0).toUpperCase() + trimmed.slice(1) + (/[.!?…]$/.test(trimmed) ? "" : ".");
}
