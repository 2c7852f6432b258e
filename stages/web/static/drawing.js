// What the editor's canvas shows: the image, masks, entropy, prompts, numbers, and the cursor.

const TINT = 0.3; // of a mask's colour inside it
const SHADE = 0.25; // on what is not in the active mask
const THUMBNAIL_SHADE = 0.6;

const OBJECT = "rgb(239 68 68)";
const BACKGROUND = "rgb(15 23 42)";
const BOX = "rgb(37 99 235)";

// Inferno, at equal steps from 0 to 1 bit.
const HEAT = [[0, 0, 4], [66, 10, 104], [147, 38, 103], [221, 81, 58], [252, 165, 10], [252, 255, 164]];

async function bitmapOf(base64) {
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  return createImageBitmap(new Blob([bytes], { type: "image/png" }));
}

function layer({ width, height }) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  return [canvas, canvas.getContext("2d")];
}

// A mask and what is drawn of it, each made when it is first needed.
class Mask {
  #shape;
  #outside;
  #pixels;

  constructor(source, colour) {
    this.source = source;
    this.colour = colour;
    this.width = source.width;
    this.height = source.height;
  }

  // The mask in its colour, and a ring around it.
  get shape() {
    this.#shape ??= this.#outlined();
    return this.#shape;
  }

  #outlined() {
    const [inside, fill] = layer(this);
    fill.drawImage(this.source, 0, 0);
    fill.globalCompositeOperation = "source-in";
    fill.fillStyle = this.colour;
    fill.fillRect(0, 0, this.width, this.height);
    const [canvas, draw] = layer(this);
    const thick = Math.max(this.width, this.height) / 256;
    for (let turn = 0; turn < 16; turn += 1) {
      const angle = (turn * Math.PI) / 8;
      draw.drawImage(inside, thick * Math.cos(angle), thick * Math.sin(angle));
    }
    draw.globalCompositeOperation = "destination-out";
    draw.drawImage(inside, 0, 0);
    draw.globalCompositeOperation = "source-over";
    draw.globalAlpha = TINT;
    draw.drawImage(inside, 0, 0);
    return canvas;
  }

  // A shade on all that is not in the mask.
  get outside() {
    if (!this.#outside) {
      const [canvas, draw] = layer(this);
      draw.fillRect(0, 0, this.width, this.height);
      draw.globalCompositeOperation = "destination-out";
      draw.drawImage(this.source, 0, 0);
      this.#outside = canvas;
    }
    return this.#outside;
  }

  // 1 inside, 0 outside.
  get pixels() {
    if (!this.#pixels) {
      const [, draw] = layer(this);
      draw.drawImage(this.source, 0, 0);
      const { data } = draw.getImageData(0, 0, this.width, this.height);
      this.#pixels = new Uint8Array(data.length / 4);
      for (let i = 0; i < this.#pixels.length; i += 1) this.#pixels[i] = data[4 * i + 3] > 0;
    }
    return this.#pixels;
  }

  has({ x, y }) {
    return Boolean(this.pixels[Math.floor(y) * this.width + Math.floor(x)]);
  }

  scaled(width, height) {
    const [canvas, draw] = layer({ width, height });
    draw.drawImage(this.source, 0, 0, width, height);
    return new Mask(canvas, this.colour);
  }

  // Share of the mask that lies in a box.
  shareIn([left, top, right, bottom]) {
    let [n, nInside] = [0, 0];
    this.pixels.forEach((isInside, i) => {
      if (!isInside) return;
      const [x, y] = [i % this.width, Math.floor(i / this.width)];
      n += 1;
      nInside += x >= left && x < right && y >= top && y < bottom;
    });
    return n && nInside / n;
  }

  // Its highest pixel, beside which its number stands.
  get top() {
    const first = this.pixels.indexOf(1);
    return first < 0 ? null : { x: first % this.width, y: Math.floor(first / this.width) };
  }
}

export const maskOf = async (base64, colour) => new Mask(await bitmapOf(base64), colour);

export async function heatLayer(base64) {
  const bitmap = await bitmapOf(base64);
  const [canvas, draw] = layer(bitmap);
  draw.drawImage(bitmap, 0, 0);
  bitmap.close();
  const pixels = draw.getImageData(0, 0, canvas.width, canvas.height);
  for (let i = 0; i < pixels.data.length; i += 4) {
    const bits = pixels.data[i] / 255;
    const place = Math.min(bits * (HEAT.length - 1), HEAT.length - 1.001);
    const low = Math.floor(place);
    for (let c = 0; c < 3; c += 1) {
      pixels.data[i + c] = HEAT[low][c] + (place - low) * (HEAT[low + 1][c] - HEAT[low][c]);
    }
    pixels.data[i + 3] = 255 * bits;
  }
  draw.putImageData(pixels, 0, 0);
  return canvas;
}

function whole(draw, drawn) {
  draw.drawImage(drawn, 0, 0, draw.canvas.width, draw.canvas.height);
}

export function drawPicture(draw, picture) {
  draw.globalAlpha = 1;
  draw.globalCompositeOperation = "source-over";
  draw.imageSmoothingQuality = "high";
  whole(draw, picture);
}

export const drawMask = (draw, mask) => whole(draw, mask.shape);

export function drawShade(draw, mask, shade = SHADE) {
  draw.globalAlpha = shade;
  whole(draw, mask.outside);
  draw.globalAlpha = 1;
}

export function drawHeat(draw, heat) {
  const { width, height } = draw.canvas;
  draw.globalCompositeOperation = "saturation";
  draw.fillStyle = "hsl(0 0% 50%)";
  draw.fillRect(0, 0, width, height);
  draw.globalCompositeOperation = "source-over";
  draw.fillStyle = "rgb(0 0 0 / 50%)";
  draw.fillRect(0, 0, width, height);
  whole(draw, heat);
}

// A small canvas with the image and a mask on it.
export function thumbnail(picture, mask, longer_px) {
  const scale = longer_px / Math.max(mask.width, mask.height);
  const [width, height] = [mask.width, mask.height].map((side) => Math.max(1, Math.round(scale * side)));
  const [canvas, draw] = layer({ width, height });
  const small = mask.scaled(width, height);
  drawPicture(draw, picture);
  drawShade(draw, small, THUMBNAIL_SHADE);
  drawMask(draw, small);
  return canvas;
}

// Prompts are in pixels of the image: `scale` canvas pixels each; `dot` is the radius of a click.
export function drawPrompts(draw, { clicks, box }, scale, dot) {
  draw.lineJoin = "round";
  if (box) {
    const [left, top, right, bottom] = box.map((side) => side * scale);
    for (const [style, width] of [["white", 0.7], [BOX, 0.4]]) {
      draw.strokeStyle = style;
      draw.lineWidth = dot * width;
      draw.strokeRect(left, top, right - left, bottom - top);
    }
  }
  for (const { x, y, label } of clicks) {
    draw.beginPath();
    draw.arc(x * scale, y * scale, dot, 0, 2 * Math.PI);
    draw.fillStyle = label ? OBJECT : BACKGROUND;
    draw.fill();
    draw.strokeStyle = "white";
    draw.lineWidth = dot * 0.35;
    draw.stroke();
    draw.beginPath(); // a plus or a minus: colour alone would not tell all readers
    draw.lineWidth = dot * 0.3;
    draw.moveTo(x * scale - dot / 2, y * scale);
    draw.lineTo(x * scale + dot / 2, y * scale);
    if (label) {
      draw.moveTo(x * scale, y * scale - dot / 2);
      draw.lineTo(x * scale, y * scale + dot / 2);
    }
    draw.stroke();
  }
}

// The number of an object above its mask, on a disc of the mask's colour.
export function drawNumber(draw, number, colour, { x, y }, dot) {
  const radius = dot * 1.15;
  const [left, top] = [Math.max(x, radius), Math.max(y - radius, radius)];
  draw.beginPath();
  draw.arc(left, top, radius, 0, 2 * Math.PI);
  draw.fillStyle = colour;
  draw.fill();
  draw.strokeStyle = "white";
  draw.lineWidth = dot * 0.2;
  draw.stroke();
  draw.fillStyle = "black";
  draw.font = `600 ${radius * 1.3}px system-ui, sans-serif`;
  draw.textAlign = "center";
  draw.textBaseline = "middle";
  draw.fillText(number, left, top);
}

export function drawCursor(draw, { x, y }, scale, dot) {
  for (const [style, width] of [["black", 0.55], ["white", 0.25]]) {
    draw.strokeStyle = style;
    draw.lineWidth = dot * width;
    draw.beginPath();
    for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
      draw.moveTo(x * scale + dx * dot * 0.6, y * scale + dy * dot * 0.6);
      draw.lineTo(x * scale + dx * dot * 2.4, y * scale + dy * dot * 2.4);
    }
    draw.stroke();
  }
}
