// Clicks, boxes and the keyboard's cursor, in pixels of the image.

const DRAG_PX = 6; // on the screen; less is a click
const STEP = 0.03; // of the longer side
const FINE_STEP = 0.004;
const INSIDE_PX = 0.01; // of the image: its right and lower edge are no longer in it
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

const between = (value, low, high) => Math.min(Math.max(value, low), high);

export function boxOf(one, other) {
  return [
    Math.min(one.x, other.x), Math.min(one.y, other.y),
    Math.max(one.x, other.x), Math.max(one.y, other.y),
  ];
}

const isWide = ([left, top, right, bottom]) => right - left >= 1 && bottom - top >= 1;

// `page` has size() in pixels of the image, mode(), and is told by click, box, boxing, moved, key.
export class Pointing {
  constructor(canvas, page) {
    this.canvas = canvas;
    this.page = page;
    this.cursor = null; // where the keyboard points
    this.corner = null; // of a box by keyboard
    this.start = null; // of a drag
    canvas.addEventListener("pointerdown", (event) => this.#down(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    canvas.addEventListener("pointerup", (event) => this.#up(event));
    canvas.addEventListener("pointercancel", () => this.#stop());
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("keydown", (event) => this.#key(event));
  }

  forget() {
    this.cursor = this.corner = null;
    this.#stop();
  }

  #placeOf(event) {
    const { width, height } = this.page.size();
    const seen = this.canvas.getBoundingClientRect();
    return {
      x: between(((event.clientX - seen.left) / seen.width) * width, 0, width),
      y: between(((event.clientY - seen.top) / seen.height) * height, 0, height),
    };
  }

  #down(event) {
    if (!this.page.size() || ![0, 2].includes(event.button)) return;
    this.cursor = null;
    this.start = { place: this.#placeOf(event), x: event.clientX, y: event.clientY };
    this.canvas.setPointerCapture(event.pointerId);
  }

  #isDragged(event) {
    const far = Math.hypot(event.clientX - this.start.x, event.clientY - this.start.y) >= DRAG_PX;
    // A finger that moves scrolls the page, unless a box is asked for.
    return far && (event.pointerType === "mouse" || this.page.mode() === "box");
  }

  #move(event) {
    if (this.start && this.#isDragged(event)) {
      this.page.boxing(boxOf(this.start.place, this.#placeOf(event)));
    }
  }

  #up(event) {
    if (!this.start) return;
    const { place } = this.start;
    const box = this.#isDragged(event) ? boxOf(place, this.#placeOf(event)) : null;
    this.#stop();
    if (box) {
      if (isWide(box)) this.page.box(box);
    } else if (this.page.mode() !== "box" || event.button === 2) {
      this.#click(place, event.button !== 2 && this.page.mode() !== "background" ? 1 : 0);
    }
  }

  #click({ x, y }, label) {
    const { width, height } = this.page.size();
    this.page.click({ x: Math.min(x, width - INSIDE_PX), y: Math.min(y, height - INSIDE_PX) }, label);
  }

  #stop() {
    this.start = null;
    this.page.boxing(null);
  }

  #key(event) {
    const size = this.page.size();
    if (!size || event.ctrlKey || event.metaKey || event.altKey) return;
    this.cursor ??= { x: size.width / 2, y: size.height / 2 };
    if (this.#moved(event, size) || this.#marked(event.key.toLowerCase())) event.preventDefault();
    else if (this.page.key(event.key.toLowerCase())) event.preventDefault();
  }

  #moved(event, { width, height }) {
    const arrow = ARROWS[event.key];
    if (!arrow) return false;
    const step = Math.max(width, height) * (event.shiftKey ? FINE_STEP : STEP);
    this.cursor = {
      x: between(this.cursor.x + arrow[0] * step, 0, width),
      y: between(this.cursor.y + arrow[1] * step, 0, height),
    };
    if (this.corner) this.page.boxing(boxOf(this.corner, this.cursor));
    this.page.moved(this.cursor);
    return true;
  }

  #marked(key) {
    if (key === "enter" || key === " ") this.#click(this.cursor, 1);
    else if (key === "b") this.#click(this.cursor, 0);
    else if (key === "escape" && this.corner) {
      this.corner = null;
      this.page.boxing(null);
    }
    else if (key === "x" && !this.corner) this.corner = this.cursor;
    else if (key === "x") {
      const box = boxOf(this.corner, this.cursor);
      this.corner = null;
      this.page.boxing(null);
      if (isWide(box)) this.page.box(box);
    } else return false;
    this.page.marked();
    return true;
  }
}
