// The image with its masks, prompts and cursor on a canvas.

const TINT = 0.3; // of the mask's colour inside it

const MASK = "rgb(34 197 94)";
const OBJECT = "rgb(239 68 68)";
const BACKGROUND = "rgb(15 23 42)";
const BOX = "rgb(37 99 235)";

// Inferno, at equal steps from 0 to 1 bit.
const HEAT = [[0, 0, 4], [66, 10, 104], [147, 38, 103], [221, 81, 58], [252, 165, 10], [252, 255, 164]];

export async function bitmapOf(base64) {
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  return createImageBitmap(new Blob([bytes], { type: "image/png" }));
}

function layer(width, height) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  return [canvas, canvas.getContext("2d")];
}

// The mask in its colour, a ring around it, and a shade on all else.
export function maskLayers(bitmap, thick) {
  const { width, height } = bitmap;
  const [inside, fill] = layer(width, height);
  fill.drawImage(bitmap, 0, 0);
  fill.globalCompositeOperation = "source-in";
  fill.fillStyle = MASK;
  fill.fillRect(0, 0, width, height);
  const [outside, shade] = layer(width, height);
  shade.fillRect(0, 0, width, height);
  shade.globalCompositeOperation = "destination-out";
  shade.drawImage(bitmap, 0, 0);
  const [ring, draw] = layer(width, height);
  for (let turn = 0; turn < 16; turn += 1) {
    const angle = (turn * Math.PI) / 8;
    draw.drawImage(inside, thick * Math.cos(angle), thick * Math.sin(angle));
  }
  draw.globalCompositeOperation = "destination-out";
  draw.drawImage(inside, 0, 0);
  return { inside, ring, outside };
}

export function heatLayer(bitmap) {
  const [canvas, draw] = layer(bitmap.width, bitmap.height);
  draw.drawImage(bitmap, 0, 0);
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

export function drawPicture(draw, picture) {
  draw.globalAlpha = 1;
  draw.globalCompositeOperation = "source-over";
  draw.imageSmoothingQuality = "high";
  draw.drawImage(picture, 0, 0, draw.canvas.width, draw.canvas.height);
}

export function drawMask(draw, { inside, ring, outside }, shade) {
  const { width, height } = draw.canvas;
  draw.globalAlpha = shade;
  draw.drawImage(outside, 0, 0, width, height);
  draw.globalAlpha = TINT;
  draw.drawImage(inside, 0, 0, width, height);
  draw.globalAlpha = 1;
  draw.drawImage(ring, 0, 0, width, height);
}

export function drawHeat(draw, heat) {
  const { width, height } = draw.canvas;
  draw.globalCompositeOperation = "saturation";
  draw.fillStyle = "hsl(0 0% 50%)";
  draw.fillRect(0, 0, width, height);
  draw.globalCompositeOperation = "source-over";
  draw.fillStyle = "rgb(0 0 0 / 50%)";
  draw.fillRect(0, 0, width, height);
  draw.drawImage(heat, 0, 0, width, height);
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
