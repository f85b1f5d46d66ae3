// Keys, drags, tilts and sticks. They are sent as they are; the program knows what they say.

const DRAG_WAY = 90;
const LEAST_MS = 90;
const LEAST_CHANGE = 0.06;
const TILT_WAY = 35;
const TILT_REST = 40; // degrees that a screen leans back in the hand
const HERE_FIRST = "input:not([type=checkbox]), textarea, select, dialog, .menu, [popover]";

/** Sends where a device points, not too often, and only when it changed. */
function puller(send) {
  let last = [0, 0];
  let at = 0;
  let timer = 0;
  let waiting = null;
  const run = () => {
    at = performance.now();
    last = waiting;
    waiting = null;
    send(...last);
  };
  return (x, y) => {
    clearTimeout(timer);
    if (waiting && !x && !y) run(); // a flick that ends before its way was told
    waiting = null;
    const moved = Math.hypot(x - last[0], y - last[1]);
    if (moved < LEAST_CHANGE && (x || y)) return;
    if (moved === 0) return;
    waiting = [x, y];
    const wait = at + LEAST_MS - performance.now();
    if (wait <= 0) run();
    else timer = setTimeout(run, wait);
  };
}

/** Keys that the world knows go to `press(key)`, unless somebody writes or uses them otherwise. */
export function listenToKeys({ known, press, focusPrompt }) {
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    const target = event.target instanceof Element ? event.target : document.body;
    if (target.closest(HERE_FIRST) || document.querySelector("dialog[open], :popover-open")) return;
    if (event.key === "/") {
      event.preventDefault();
      focusPrompt();
    }
    const pressing = event.key === " " || event.key === "Enter";
    if (pressing && target.closest("button, a, input, summary")) return;
    if (!known(event.key)) return;
    event.preventDefault();
    if (!event.repeat) press(event.key);
  });
}

/** A drag across a picture pulls; an arrow shows it. */
export function listenToDrags(pane, send) {
  const { canvas, frameBox } = pane;
  const arrow = frameBox.querySelector(".pull");
  const [line, knob] = arrow.children;
  const pull = puller((x, y) => send("drag", x, y));
  let from = null;
  let finger = null; // the pointer that drags; others are let be

  const place = (event) => {
    const box = frameBox.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  const show = ([x, y]) => {
    const ends = { x1: from[0], y1: from[1], x2: x, y2: y };
    for (const [name, value] of Object.entries(ends)) line.setAttribute(name, value);
    knob.setAttribute("cx", x);
    knob.setAttribute("cy", y);
  };
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || finger !== null) return;
    finger = event.pointerId;
    from = place(event);
    canvas.setPointerCapture(event.pointerId);
    show(from);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (event.pointerId !== finger) return;
    const to = place(event);
    const [x, y] = [(to[0] - from[0]) / DRAG_WAY, (from[1] - to[1]) / DRAG_WAY];
    arrow.classList.toggle("on", Math.hypot(x, y) > 0.1);
    show(to);
    pull(x, y);
  });
  const end = ({ pointerId }) => {
    if (pointerId !== finger) return;
    finger = null;
    arrow.classList.remove("on");
    pull(0, 0);
  };
  for (const kind of ["pointerup", "pointercancel", "lostpointercapture"]) canvas.addEventListener(kind, end);
}

/** The stick of the first gamepad pulls, for as long as there is one. */
export function listenToGamepads(send) {
  const pull = puller((x, y) => send("gamepad", x, y));
  let running = false;
  const look = () => {
    const pad = navigator.getGamepads().find((each) => each?.axes.length >= 2);
    running = Boolean(pad);
    if (!pad) return pull(0, 0);
    pull(pad.axes[0], -pad.axes[1]);
    requestAnimationFrame(look);
  };
  addEventListener("gamepadconnected", () => running || look());
}

/** Whether this device is likely to know how it is held; browsers tell only secure pages. */
export function canTilt() {
  const told = "DeviceOrientationEvent" in window || !isSecureContext;
  return told && matchMedia("(pointer: coarse)").matches;
}

/** The tilt of the device pulls. Gives a function that ends it; an Error when it may not. */
export async function listenToTilt(send) {
  const asked = await window.DeviceOrientationEvent.requestPermission?.();
  if (asked && asked !== "granted") throw new Error("the browser does not say how the device is held");
  const pull = puller((x, y) => send("tilt", x, y));
  const tilt = ({ beta, gamma }) => {
    if (beta === null || gamma === null) return;
    const [right, up] = turned(gamma, -beta);
    pull(right / TILT_WAY, (up + TILT_REST) / TILT_WAY);
  };
  addEventListener("deviceorientation", tilt);
  return () => {
    removeEventListener("deviceorientation", tilt);
    pull(0, 0);
  };
}

// The device counts from its own upright; the page may lie on its side.
function turned(x, y) {
  const angle = screen.orientation?.angle ?? 0;
  if (angle === 90) return [-y, x];
  if (angle === 270) return [y, -x];
  return angle === 180 ? [-x, -y] : [x, y];
}
