// How the built-in world's room looks, pixel for pixel as it was drawn for training.

export const COLOURS = {
  red: [216, 30, 48],
  green: [40, 168, 72],
  blue: [34, 92, 232],
  yellow: [250, 220, 44],
  purple: [164, 60, 200],
  orange: [250, 126, 16],
};
export const SMALL = 6;
export const LARGE = 9;
export const LOW = [2, 2];
export const HIGH = [62, 59];
export const ROOM = 64;

const LIGHTS = {
  day: { sky: [158, 186, 214], wall: [196, 206, 216], floor: [138, 130, 124], pull: [58, 54, 62], things: 1 },
  dusk: { sky: [112, 96, 134], wall: [198, 146, 128], floor: [98, 80, 80], pull: [44, 34, 46], things: 0.93 },
  night: { sky: [13, 16, 34], wall: [29, 33, 56], floor: [12, 13, 20], pull: [118, 122, 138], things: 0.82 },
};
const CORNER = 1.2;
const BEVEL = 2;

const within = (value) => Math.min(1, Math.max(0, value));

/** Radius of a ball, half the side of a box, in room units. */
export function extentOf(thing) {
  return thing.large ? LARGE : SMALL;
}

/** Draws the room into an ImageData of `size` x `size`; the wall that `pull` names is marked. Things: {colour, shape, large, x, y}. */
export function drawRoom(image, things, time, pull) {
  const size = image.width;
  const pixels = new Float32Array(size * size * 3);
  drawWalls(pixels, size, LIGHTS[time]);
  drawPull(pixels, size, LIGHTS[time].pull, pull);
  for (const thing of things) drawThing(pixels, size, thing, LIGHTS[time].things);
  for (let place = 0; place < size * size; place++) {
    for (let part = 0; part < 3; part++) {
      image.data[4 * place + part] = Math.floor(Math.min(255, Math.max(0, pixels[3 * place + part])) + 0.5);
    }
    image.data[4 * place + 3] = 255;
  }
}

function drawWalls(pixels, size, light) {
  const scale = size / ROOM;
  for (let row = 0; row < size; row++) {
    const y = (row + 0.5) / scale;
    const top = 0.86 + 0.14 * within((y - LOW[1]) * scale + 0.5);
    const floor = within((y - HIGH[1]) * scale + 0.5);
    const low = Math.min(1, y / HIGH[1]);
    for (let column = 0; column < size; column++) {
      const x = (column + 0.5) / scale;
      const inside = Math.min(x - LOW[0], HIGH[0] - x) * scale + 0.5;
      const wall = top * (0.86 + 0.14 * within(inside)) * (1 - floor);
      const place = 3 * (row * size + column);
      for (let part = 0; part < 3; part++) {
        const behind = light.sky[part] * (1 - low) + light.wall[part] * low;
        pixels[place + part] = wall * behind + floor * light.floor[part];
      }
    }
  }
}

function drawPull(pixels, size, colour, pull) {
  const deep = Math.max(1, Math.round((LOW[0] * size) / ROOM));
  const [first, last] = [(place) => place < deep, (place) => place >= size - deep];
  const inside = { up: first, down: last, left: first, right: last }[pull];
  if (!inside) return;
  const upright = pull === "up" || pull === "down";
  for (let row = 0; row < size; row++) {
    for (let column = 0; column < size; column++) {
      if (inside(upright ? row : column)) pixels.set(colour, 3 * (row * size + column));
    }
  }
}

function drawThing(pixels, size, thing, bright) {
  const scale = size / ROOM;
  const extent = extentOf(thing);
  const box = thing.shape === "box";
  const [half, rounding] = box ? [extent - CORNER, CORNER] : [0, extent];
  const shade = box ? boxShade : ballShade;
  const ends = (middle) => [Math.max(0, Math.floor((middle - extent) * scale) - 1), Math.min(size, Math.ceil((middle + extent) * scale) + 1)];
  const [left, right] = ends(thing.x);
  const [upper, lower] = ends(thing.y);
  for (let row = upper; row < lower; row++) {
    for (let column = left; column < right; column++) {
      const across = (column + 0.5) / scale - thing.x;
      const down = (row + 0.5) / scale - thing.y;
      const cover = within(0.5 - scale * distance(across, down, half, rounding));
      if (cover === 0) continue;
      const [tone, shine] = shade(across, down, extent);
      const place = 3 * (row * size + column);
      COLOURS[thing.colour].forEach((value, part) => {
        const over = Math.min(255, tone * value * bright + shine);
        pixels[place + part] += cover * (over - pixels[place + part]);
      });
    }
  }
}

function distance(across, down, half, rounding) {
  const [dx, dy] = [Math.abs(across) - half, Math.abs(down) - half];
  return Math.hypot(Math.max(dx, 0), Math.max(dy, 0)) + Math.min(Math.max(dx, dy), 0) - rounding;
}

// Balls are darker to the lower right, with a highlight; boxes are flat, with lit edges.
function ballShade(across, down, extent) {
  const tone = (at) => 0.53 - 0.11 * at - 0.09 * at * at;
  const spot = (at) => Math.exp(-((at + 0.36) ** 2) / 0.13);
  const [x, y] = [across / extent, down / extent];
  const white = 0.62 * spot(x) * spot(y);
  return [(tone(x) + tone(y)) * (1 - white), 200 * white];
}

function boxShade(across, down, extent) {
  const tone = (offset, edge) => 0.5 - edge * Math.sign(offset) * (1 - within((extent - Math.abs(offset)) / BEVEL));
  return [tone(across, 0.14) + tone(down, 0.26), 0];
}
