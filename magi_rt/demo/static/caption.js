// A drawn room in the words that the world was taught with.

const TIMES = { day: "by day", dusk: "at dusk", night: "at night" };
const PULLS = {
  down: "gravity points down",
  up: "gravity points up",
  left: "gravity points left",
  right: "gravity points right",
  none: "no gravity",
};

/** For example "a large red ball and a small blue box in a room by day, gravity points left". */
export function caption(things, time, pull) {
  const names = things.map(({ colour, shape, large }) => `a ${large ? "large" : "small"} ${colour} ${shape}`);
  const last = names.pop() ?? "nothing";
  const listed = names.length ? `${names.join(", ")} and ${last}` : last;
  return `${listed} in a room ${TIMES[time]}, ${PULLS[pull]}`;
}
