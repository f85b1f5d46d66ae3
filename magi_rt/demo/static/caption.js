// A drawn room in the words that the world was taught with.

const TIMES = { day: "by day", dusk: "at dusk", night: "at night" };
const PULLS = {
  down: "gravity pulls down",
  up: "gravity pulls up",
  left: "gravity pulls left",
  right: "gravity pulls right",
  none: "there is no gravity",
};

/** For example "a large red ball and a small blue box in a room by day, gravity pulls left". */
export function caption(things, time, pull) {
  const names = things.map(({ colour, shape, large }) => `a ${large ? "large" : "small"} ${colour} ${shape}`);
  const last = names.pop() ?? "nothing";
  const listed = names.length ? `${names.join(", ")} and ${last}` : last;
  return `${listed} in a room ${TIMES[time]}, ${PULLS[pull]}`;
}
