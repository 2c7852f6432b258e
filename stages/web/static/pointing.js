// Clicks, boxes, zoom and the keyboard's cursor, in pixels of the image.

const DRAG_PX = 6; // on the screen; less is a click
const STEP = 0.03; // of the longer side
const FINE_STEP = 0.004;
const INSIDE_PX = 0.01; // of the image: its right and lower edge are no longer in it
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const ZOOM_PER_PX = 0.0016; // of a wheel
const PINCH_PER_PX = 0.01; // of a touchpad, whose pinch browsers tell as a wheel with Ctrl
const LINE_PX = 40; // of wheels that count in lines
const MIDDLE = 1;
const RIGHT = 2;

const between = (value, low, high) => Math.min(Math.max(value, low), high);

export function boxOf(corner, opposite) {
  return [
    Math.min(corner.x, opposite.x), Math.min(corner.y, opposite.y),
    Math.max(corner.x, opposite.x), Math.max(corner.y, opposite.y),
  ];
}

const isWide = ([left, top, right, bottom]) => right - left >= 1 && bottom - top >= 1;

// `page` has size() in pixels of the image and mode(), and is told by click, box, boxing, moved,
// marked, seen and key; `view` is the part of the image that the canvas shows.
export class Pointing {
  constructor(canvas, view, page) {
    this.canvas = canvas;
    this.view = view;
    this.page = page;
    this.cursor = null; // where the keyboard points
    this.corner = null; // of a box by keyboard
    this.start = null; // of a drag
    this.fingers = new Map();
    this.isPinched = false; // until the last finger is lifted
    canvas.addEventListener("pointerdown", (event) => this.#down(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    canvas.addEventListener("pointerup", (event) => this.#up(event));
    canvas.addEventListener("pointercancel", (event) => this.#cancel(event));
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("keydown", (event) => this.#key(event));
    canvas.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    // Two fingers are ours; one may scroll the page.
    canvas.addEventListener("touchstart", (event) => {
      if (event.touches.length > 1) event.preventDefault();
    }, { passive: false });
  }

  forget() {
    this.cursor = this.corner = null;
    this.#stop();
  }

  #placeOf(event) {
    const { width, height } = this.page.size();
    const { x, y } = this.view.placeOf(event);
    return {
      x: between((x / this.canvas.width) * width, 0, width),
      y: between((y / this.canvas.height) * height, 0, height),
    };
  }

  #down(event) {
    if (!this.page.size()) return;
    if (event.pointerType === "touch") this.fingers.set(event.pointerId, event);
    if (this.fingers.size > 1) {
      this.isPinched = true;
      this.#stop();
    }
    if (this.isPinched) return;
    this.cursor = null;
    if (event.button === MIDDLE) event.preventDefault(); // it would scroll
    this.start = { place: this.#placeOf(event), x: event.clientX, y: event.clientY, event };
    this.canvas.setPointerCapture(event.pointerId);
  }

  // A finger that moves scrolls the page, or the image if it is enlarged, unless a box is asked for.
  #isPan({ pointerType }) {
    return this.start.event.button === MIDDLE || (pointerType === "touch" && this.page.mode() !== "box");
  }

  #isDragged(event) {
    return Math.hypot(event.clientX - this.start.x, event.clientY - this.start.y) >= DRAG_PX;
  }

  #move(event) {
    if (this.fingers.has(event.pointerId)) {
      const before = [...this.fingers.values()];
      this.fingers.set(event.pointerId, event);
      if (this.fingers.size === 2) this.#pinch(before, [...this.fingers.values()]);
    }
    if (!this.start || !(this.start.isMoved || this.#isDragged(event))) return;
    if (this.#isPan(event)) {
      const { event: last } = this.start.isMoved ?? this.start;
      this.#shift(last, event);
      this.start.isMoved = { event };
    } else this.page.boxing(boxOf(this.start.place, this.#placeOf(event)));
  }

  #pinch(before, now) {
    const middle = ([first, second]) => ({
      clientX: (first.clientX + second.clientX) / 2, clientY: (first.clientY + second.clientY) / 2,
    });
    const span = ([first, second]) => Math.hypot(
      first.clientX - second.clientX, first.clientY - second.clientY,
    );
    this.view.zoom(span(now) / Math.max(span(before), 1), this.view.placeOf(middle(before)));
    this.#shift(middle(before), middle(now));
  }

  #shift(from, to) {
    const [first, last] = [this.view.placeOf(from), this.view.placeOf(to)];
    this.view.pan(last.x - first.x, last.y - first.y);
    this.page.seen();
  }

  #up(event) {
    this.fingers.delete(event.pointerId);
    if (this.isPinched) {
      this.isPinched = this.fingers.size > 0;
      return;
    }
    if (!this.start) return;
    const { place, event: { button }, isMoved } = this.start;
    const isDragged = !isMoved && this.#isDragged(event);
    const isPan = this.#isPan(event);
    const box = isDragged && !isPan ? boxOf(place, this.#placeOf(event)) : null;
    this.#stop();
    if (box) {
      if (isWide(box)) this.page.box(box, event.shiftKey);
    } else if (button !== MIDDLE && !isMoved && (this.page.mode() !== "box" || button === RIGHT)) {
      const label = button !== RIGHT && this.page.mode() !== "background" ? 1 : 0;
      this.#click(place, label, event.shiftKey);
    }
  }

  #cancel(event) {
    this.fingers.delete(event.pointerId);
    this.isPinched = this.fingers.size > 0;
    this.#stop();
  }

  #click({ x, y }, label, isSure) {
    const { width, height } = this.page.size();
    const place = { x: Math.min(x, width - INSIDE_PX), y: Math.min(y, height - INSIDE_PX) };
    this.page.click(place, label, isSure);
  }

  #stop() {
    this.start = null;
    this.page.boxing(null);
  }

  #wheel(event) {
    if (!this.page.size()) return;
    const unit = event.deltaMode === WheelEvent.DOM_DELTA_PIXEL ? 1 : LINE_PX;
    const [dx, dy] = [event.deltaX * unit, event.deltaY * unit];
    const isSideways = event.shiftKey || Math.abs(dx) > Math.abs(dy);
    if (this.view.isWhole && (isSideways || dy > 0)) return; // the page scrolls
    event.preventDefault();
    if (isSideways) this.view.pan(-(dx || dy) / this.view.scale, 0);
    else {
      const rate = event.ctrlKey ? PINCH_PER_PX : ZOOM_PER_PX;
      this.view.zoom(Math.exp(-dy * rate), this.view.placeOf(event));
    }
    this.page.seen();
  }

  #key(event) {
    const size = this.page.size();
    if (!size || event.ctrlKey || event.metaKey || event.altKey) return;
    this.cursor ??= this.#center(size);
    if (this.#moved(event, size) || this.#marked(event)) event.preventDefault();
    else if (this.page.key(event.key.toLowerCase())) event.preventDefault();
  }

  #center({ width, height }) {
    const { x, y } = this.view.center;
    return { x: (x / this.canvas.width) * width, y: (y / this.canvas.height) * height };
  }

  #moved(event, { width, height }) {
    const arrow = ARROWS[event.key];
    if (!arrow) return false;
    const step = Math.max(width, height) * (event.shiftKey ? FINE_STEP : STEP) / this.view.scale;
    this.cursor = {
      x: between(this.cursor.x + arrow[0] * step, 0, width),
      y: between(this.cursor.y + arrow[1] * step, 0, height),
    };
    const scale = this.canvas.width / width;
    this.view.reveal({ x: this.cursor.x * scale, y: this.cursor.y * scale });
    if (this.corner) this.page.boxing(boxOf(this.corner, this.cursor));
    this.page.moved(this.cursor);
    return true;
  }

  #marked(event) {
    const key = event.key.toLowerCase();
    if (key === "enter" || key === " ") this.#click(this.cursor, 1, event.shiftKey);
    else if (key === "b") this.#click(this.cursor, 0, true);
    else if (key === "escape" && this.corner) this.#dropCorner();
    else if (key === "x" && !this.corner) this.corner = this.cursor;
    else if (key === "x") {
      const box = boxOf(this.corner, this.cursor);
      this.#dropCorner();
      if (isWide(box)) this.page.box(box, event.shiftKey);
    } else return false;
    this.page.marked();
    return true;
  }

  #dropCorner() {
    this.corner = null;
    this.page.boxing(null);
  }
}
