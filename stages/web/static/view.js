// The part of the image that a canvas shows: zoom and shift.

const LARGEST = 16;

export class View {
  scale = 1;
  left = 0; // of the part that is seen, in pixels of the canvas at scale 1
  top = 0;

  constructor(canvas) {
    this.canvas = canvas;
  }

  fit() {
    [this.scale, this.left, this.top] = [1, 0, 0];
  }

  get isWhole() { return this.scale === 1; }

  // The place of a pointer, in pixels of the canvas at scale 1.
  placeOf({ clientX, clientY }) {
    const seen = this.canvas.getBoundingClientRect();
    const x = ((clientX - seen.left) / seen.width) * this.canvas.width;
    const y = ((clientY - seen.top) / seen.height) * this.canvas.height;
    return { x: this.left + x / this.scale, y: this.top + y / this.scale };
  }

  // The other way round: shares of the width and height of an element around the canvas.
  seenAt({ x, y }, frame) {
    const [seen, around] = [this.canvas, frame].map((part) => part.getBoundingClientRect());
    const share = (at, side) => ((at * this.scale) / this.canvas[side]) * seen[side];
    return {
      x: (seen.left - around.left + share(x - this.left, "width")) / around.width,
      y: (seen.top - around.top + share(y - this.top, "height")) / around.height,
    };
  }

  // What is at `place` stays there.
  zoom(factor, { x, y }) {
    const scale = Math.min(Math.max(this.scale * factor, 1), LARGEST);
    this.left = x - ((x - this.left) * this.scale) / scale;
    this.top = y - ((y - this.top) * this.scale) / scale;
    this.scale = scale;
    this.#hold();
  }

  pan(dx, dy) {
    this.left -= dx;
    this.top -= dy;
    this.#hold();
  }

  // Shifts until a place is seen.
  reveal({ x, y }) {
    const [width, height] = this.#size();
    this.left = Math.min(Math.max(this.left, x - width), x);
    this.top = Math.min(Math.max(this.top, y - height), y);
    this.#hold();
  }

  apply(draw) {
    const { scale, left, top } = this;
    draw.setTransform(scale, 0, 0, scale, -left * scale, -top * scale);
  }

  get center() {
    const [width, height] = this.#size();
    return { x: this.left + width / 2, y: this.top + height / 2 };
  }

  #size() {
    return [this.canvas.width / this.scale, this.canvas.height / this.scale];
  }

  #hold() {
    const [width, height] = this.#size();
    this.left = Math.min(Math.max(this.left, 0), this.canvas.width - width);
    this.top = Math.min(Math.max(this.top, 0), this.canvas.height - height);
  }
}
