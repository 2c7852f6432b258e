// The editor: an image, numbered objects with prompts on it, and an answer about each.
//
//   const editor = new Editor(root, { ask, changed, refused, shownIou, mostObjects });
//   editor.open({ picture, name, width_px, height_px, shown_size_px }, saved);
//
// ask(prompts, signal) gives a promise of the answer about one object:
//   { selected, proposals: [{ mask, entropy, expected_iou: { own } }, ...] }, with mask and entropy
//   as PNG in base64, and whatever else `changed` wants to show. The entropy may be null.
// changed() is called when objects, answers, or the choice among them are others: `objects`,
//   `active`, `answer`, `chosen`, `isAwaited` and `downloads` have them.
// refused(error) is called when an answer fails, but not when it was given up.
// shownIou(answer, k) gives the words about proposal k in the list of objects.
//
// `root` is an empty element, which the editor fills; page.css has its style. `toJSON` gives what
// `open` takes as `saved`.

import * as drawing from "./drawing.js";
import { colourOf, isAskable, isEmpty, Objects, promptsOf } from "./objects.js";
import { Pointing } from "./pointing.js";
import { View } from "./view.js";

const HTML = `
<div class="tools">
  <fieldset class="modes">
    <legend class="hidden">What a click or a tap means</legend>
    <label><input type="radio" name="mode" value="object" checked><span><i class="dot on"></i>Object</span></label>
    <label><input type="radio" name="mode" value="background"><span><i class="dot off"></i>Background</span></label>
    <label><input type="radio" name="mode" value="box"><span><i class="square"></i>Box</span></label>
  </fieldset>
  <div class="buttons">
    <button id="undo" type="button" disabled aria-keyshortcuts="Control+Z">Undo</button>
    <button id="redo" type="button" disabled aria-keyshortcuts="Control+Shift+Z">Redo</button>
    <button id="reset" type="button" disabled>Reset</button>
    <label class="switch"><input id="heat" type="checkbox" role="switch"><span>Entropy</span></label>
  </div>
</div>
<div class="objects several">
  <ul id="objects" aria-label="Objects"></ul>
  <button id="add" type="button" disabled>New object</button>
</div>
<div class="frame" id="frame">
  <canvas id="canvas" width="1024" height="1024" tabindex="0" role="application" aria-roledescription="image to click on" aria-label="Image" aria-describedby="keys"></canvas>
  <p id="busy" class="busy" role="status" hidden></p>
  <div class="zoom" role="group" aria-label="Zoom">
    <button id="zoom-in" type="button" aria-label="Enlarge">+</button>
    <button id="zoom-out" type="button" aria-label="Reduce">−</button>
    <button id="fit" type="button">Fit</button>
  </div>
  <div id="whose" class="whose several" role="dialog" aria-labelledby="whose-words" hidden>
    <p id="whose-words"></p>
    <div id="whose-choices"></div>
  </div>
</div>
<div id="scale" class="scale muted" hidden><span>0</span><i></i><span>1 bit of entropy per pixel</span></div>
<p id="keys" class="keys muted"><span class="pointer">Left click: object. Right click: background. Drag: box.<span class="several"> With <kbd>Shift</kbd>: always about the active object.</span> Wheel: zoom; middle button: shift the image. </span>Keyboard, with the image in focus: <kbd>arrows</kbd> move the cursor, with <kbd>Shift</kbd> finely; <kbd>Enter</kbd> object, <kbd>B</kbd> background, <kbd>X</kbd> corner of a box;<span class="several"> <kbd>N</kbd> new object, <kbd>[</kbd> and <kbd>]</kbd> the one before and after, <kbd>Delete</kbd> removes it;</span> <kbd>Ctrl</kbd>+<kbd>Z</kbd> undo, with <kbd>Shift</kbd> redo; <kbd>0</kbd>–<kbd>2</kbd> proposal, <kbd>3</kbd> chosen mask, if it is no proposal, <kbd>H</kbd> entropy, <kbd>+</kbd>, <kbd>−</kbd> and <kbd>F</kbd> zoom.</p>
<p id="place" class="hidden" role="status" aria-live="polite"></p>`;

const DOT_PX = 8; // radius of a click on the screen
const ZOOM_STEP = 1.5;
const OWN_SHARE = 0.5; // of the active mask in a box that is about the same object
const MOST_ANSWERS = 200; // as base64, some 80 kB each
const THUMBNAIL_PX = 216;

const keyOf = (object) => JSON.stringify(promptsOf(object));
const rounded = ({ x, y }) => `${Math.round(x)}, ${Math.round(y)}`;

export function element(tag, properties = {}, ...children) {
  const created = Object.assign(document.createElement(tag), properties);
  created.append(...children);
  return created;
}

export class Editor {
  #page;
  #objects = new Objects();
  #answers = new Map(); // by prompts: undo and redo ask nothing again
  #refusals = new Set(); // prompts that are not asked about again
  #request = null;
  #unpacked = new Map(); // by number: an answer with its masks; the last one, while another is awaited
  #turn = 0; // what an older one unpacks is dropped
  #boxing = null; // while it is drawn
  #whose = null; // prompts that may be about the active object or another one
  #isHeld = false;

  constructor(root, page) {
    root.innerHTML = HTML;
    this.#page = page;
    this.root = root;
    this.image = null;
    this.canvas = this.#byId("canvas");
    this.draw = this.canvas.getContext("2d");
    this.view = new View(this.canvas);
    this.pointing = new Pointing(this.canvas, this.view, {
      size: () => this.image && !this.#isHeld && { width: this.image.width_px, height: this.image.height_px },
      mode: () => this.mode,
      click: (place, label, isSure) => this.#click(place, label, isSure),
      box: (box, isSure) => this.#box(box, isSure),
      boxing: (box) => { this.#boxing = box; this.redraw(); },
      moved: (place) => { this.#tell(rounded(place)); this.redraw(); },
      marked: () => { this.#tell(`${rounded(this.pointing.cursor)} marked`); this.redraw(); },
      seen: () => this.redraw(),
      key: (key) => this.#key(key),
    });
    this.#listen();
  }

  // ---- What the page reads.

  get objects() { return this.#objects.all; }

  get active() { return this.#objects.active; }

  // About the active object; while another is awaited, the last one. Null until all of its masks are
  // unpacked.
  get answer() {
    const { answer, masks } = this.#unpacked.get(this.active.number) ?? {};
    return answer && Object.keys(masks).length === answer.proposals.length ? answer : null;
  }

  get chosen() { return this.#chosenOf(this.active); }

  get isAwaited() { return this.#isAwaited(this.active); }

  get mode() { return this.root.querySelector("input[name=mode]:checked").value; }

  get showsEntropy() { return this.#byId("heat").checked; }

  // Objects with masks and their proposals; empty while a mask is awaited.
  get downloads() {
    const asked = this.objects.filter(isAskable);
    if (!asked.every((object) => this.#answers.has(keyOf(object)))) return [];
    return asked.map((object) => ({
      number: object.number, ...promptsOf(object), proposal: this.#chosenOf(object),
    }));
  }

  thumbnail(k) {
    return drawing.thumbnail(this.image.picture, this.#unpacked.get(this.active.number).masks[k], THUMBNAIL_PX);
  }

  toJSON() {
    return { objects: this.#objects.toJSON(), mode: this.mode, showsEntropy: this.showsEntropy };
  }

  // ---- What the page does.

  open(image, saved = {}) {
    this.image = image;
    this.#objects.restore(saved.objects);
    this.#unpacked.clear();
    if (saved.mode) this.root.querySelector(`input[name=mode][value=${saved.mode}]`).click();
    if ("showsEntropy" in saved) this.#byId("heat").checked = saved.showsEntropy;
    [this.canvas.height, this.canvas.width] = image.shown_size_px;
    this.canvas.style.setProperty("--ratio", this.canvas.width / this.canvas.height);
    this.canvas.ariaLabel = `Image ${image.name}, ${image.width_px} by ${image.height_px} pixels`;
    this.view.fit();
    this.pointing.forget();
    this.#closeWhose();
    this.askAgain();
  }

  // After a change of image, model or costs: all answers are others.
  askAgain() {
    this.#giveUp();
    this.#answers.clear();
    this.#refusals.clear();
    if (!this.#isHeld) this.#update();
  }

  // Neither clicks nor requests, until another image is open or is refused.
  hold(isHeld) {
    this.#isHeld = isHeld;
    if (isHeld) this.#giveUp();
    else if (this.image) this.#update();
  }

  choose(k) {
    this.#objects.choose(k);
    this.#show();
    this.#page.changed();
  }

  redraw() {
    const { draw, image } = this;
    if (!image) return;
    draw.setTransform(1, 0, 0, 1, 0, 0);
    this.view.apply(draw);
    drawing.drawPicture(draw, image.picture);
    this.#drawMasks();
    const dot = this.#dot();
    const scale = this.canvas.width / image.width_px;
    const { clicks, box } = this.active;
    drawing.drawPrompts(draw, { clicks, box: this.#boxing ?? box }, scale, dot);
    if (this.#whose) drawing.drawPrompts(draw, this.#whose.prompts, scale, dot);
    this.#drawNumbers(dot);
    if (this.pointing.cursor) drawing.drawCursor(draw, this.pointing.cursor, scale, dot);
    this.#byId("scale").hidden = !(this.answer && this.showsEntropy);
    this.#byId("frame").classList.toggle("zoomed", !this.view.isWhole);
    this.#byId("zoom-out").disabled = this.#byId("fit").disabled = this.view.isWhole;
  }

  // ---- Drawing.

  #byId(id) { return this.root.querySelector(`#${id}`); }

  #tell(words) { this.#byId("place").textContent = words; }

  #dot() {
    return (DOT_PX * this.canvas.width) / (this.canvas.clientWidth || this.canvas.width) / this.view.scale;
  }

  #chosenOf(object) {
    return object.proposal ?? this.#unpacked.get(object.number)?.answer.selected ?? 0;
  }

  #maskOf(object) { return this.#unpacked.get(object.number)?.masks[this.#chosenOf(object)]; }

  #drawMasks() {
    const active = this.#unpacked.get(this.active.number);
    const heat = active?.heats[this.chosen];
    if (heat && this.showsEntropy) {
      drawing.drawHeat(this.draw, heat);
      return;
    }
    for (const object of this.objects) {
      const mask = this.#maskOf(object);
      if (mask && object !== this.active) drawing.drawMask(this.draw, mask);
    }
    const mask = this.#maskOf(this.active);
    if (!mask) return;
    drawing.drawShade(this.draw, mask);
    drawing.drawMask(this.draw, mask);
  }

  #drawNumbers(dot) {
    if (this.objects.length < 2) return;
    for (const object of this.objects) {
      const top = this.#maskOf(object)?.top;
      if (top) drawing.drawNumber(this.draw, object.number, colourOf(object), top, dot);
    }
  }

  // ---- Clicks and boxes. Outside of the active mask, the user says which object they are about.

  #click(place, label, isSure) {
    const click = { ...place, label };
    const prompts = { clicks: [...this.active.clicks, click], box: this.active.box };
    const isOther = label && !isSure && this.#isOther((mask) => !mask.has(this.#onMask(place)));
    if (isOther) this.#askWhose({ prompts, alone: { clicks: [click] }, place });
    else this.#give(prompts);
  }

  #box(box, isSure) {
    const prompts = { ...promptsOf(this.active), box };
    const scale = this.canvas.width / this.image.width_px;
    const isOther = !isSure && this.#isOther(
      (mask) => mask.shareIn(box.map((side) => side * scale)) < OWN_SHARE,
    );
    if (isOther) this.#askWhose({ prompts, alone: { box }, place: { x: box[0], y: box[1] } });
    else this.#give(prompts);
  }

  // Where there is one object, all is about it. Without its mask, nobody knows what an object is.
  #isOther(isOutside) {
    if (this.#page.mostObjects === 1 || !isAskable(this.active)) return false;
    const mask = this.#maskOf(this.active);
    return !mask || isOutside(mask);
  }

  #onMask({ x, y }) {
    const scale = this.canvas.width / this.image.width_px;
    return { x: x * scale, y: y * scale };
  }

  #give(prompts) { this.#act(() => this.#objects.prompt(prompts)); }

  #askWhose(whose) {
    this.#whose = whose;
    const { place, alone, prompts } = whose;
    const hit = alone.clicks && this.objects.find(
      (object) => object !== this.active && this.#maskOf(object)?.has(this.#onMask(place)),
    );
    const choices = [
      ...(hit ? [[`Go to object ${hit.number}`, () => this.#activate(hit.number)]] : []),
      ...(this.#isFull ? [] : [["New object", () => this.#add(alone)]]),
      [`Add to object ${this.active.number}`, () => this.#give(prompts)],
      ["Cancel", () => this.#closeWhose()],
    ].map(([textContent, onclick]) => element("button", { type: "button", textContent, onclick }));
    this.#byId("whose-words").textContent = `Outside of object ${this.active.number}:`;
    this.#byId("whose-choices").replaceChildren(...choices);
    const dialog = this.#byId("whose");
    const { x, y } = this.view.seenAt(this.#onMask(place), this.#byId("frame"));
    dialog.style.setProperty("--x", x);
    dialog.style.setProperty("--y", y);
    dialog.hidden = false;
    this.redraw();
    choices[0].focus({ preventScroll: true });
  }

  #closeWhose() {
    const dialog = this.#byId("whose");
    // A button that goes while it has the focus would leave the keyboard nowhere.
    if (dialog.contains(document.activeElement)) this.canvas.focus({ preventScroll: true });
    dialog.hidden = true;
    this.#whose = null;
    this.redraw();
  }

  // ---- Objects.

  get #isFull() { return this.objects.length >= this.#page.mostObjects; }

  #add(prompts) { this.#act(() => this.#objects.add(prompts)); }

  #activate(number) { this.#act(() => this.#objects.activate(number)); }

  #remove(number) { this.#act(() => this.#objects.remove(number)); }

  #step(way) { this.#act(() => this.#objects[way]()); }

  #neighbour(direction) {
    const { objects } = this;
    const place = objects.indexOf(this.active) + direction;
    this.#activate(objects[(place + objects.length) % objects.length].number);
  }

  // ---- Answers.

  #isAwaited(object) {
    const key = keyOf(object);
    return isAskable(object) && !this.#answers.has(key) && !this.#refusals.has(key);
  }

  #giveUp() {
    this.#request?.abort.abort();
    this.#request = null;
  }

  // Asks about one object at a time, about the active one first.
  #askNext() {
    const next = [this.active, ...this.objects].find((object) => this.#isAwaited(object));
    const key = next && keyOf(next);
    if (this.#request?.key === key || this.#isHeld || !this.image) return;
    this.#giveUp();
    if (next) this.#ask(promptsOf(next), key);
  }

  async #ask(prompts, key) {
    const request = { key, abort: new AbortController() };
    this.#request = request;
    try {
      const answer = await this.#page.ask(prompts, request.abort.signal);
      if (this.#request !== request) return;
      this.#answers.set(key, answer);
      if (this.#answers.size > MOST_ANSWERS) this.#answers.delete(this.#answers.keys().next().value);
    } catch (error) {
      if (this.#request !== request) return; // given up
      if (error.name !== "Error") throw error;
      this.#refusals.add(key);
      this.#page.refused(error);
    }
    this.#request = null;
    this.#update();
  }

  #act(change) {
    this.#closeWhose();
    change();
    this.#update();
  }

  async #update() {
    this.#askNext();
    this.#turn += 1;
    const turn = this.#turn;
    for (const number of this.#unpacked.keys()) {
      const object = this.objects.find((other) => other.number === number);
      if (!object || !isAskable(object)) this.#unpacked.delete(number);
    }
    this.#show();
    if (!this.#answers.has(keyOf(this.active))) this.#page.changed();
    for (const object of this.objects) {
      const unpacked = await this.#unpack(object);
      if (turn !== this.#turn) return;
      if (unpacked) this.#unpacked.set(object.number, unpacked);
    }
    this.#show();
    this.#page.changed();
  }

  // All masks of the active object, the chosen one of any other: they take megabytes each. Null
  // without an answer about the present prompts.
  async #unpack(object) {
    const answer = this.#answers.get(keyOf(object));
    if (!answer) return null;
    const before = this.#unpacked.get(object.number);
    const { masks, heats } = before?.answer === answer ? before : { masks: [], heats: [] };
    const unpacked = { answer, masks: [], heats: [] };
    const isActive = object === this.active;
    const proposals = isActive ? [...answer.proposals.keys()] : [object.proposal ?? answer.selected];
    await Promise.all(proposals.map(async (k) => {
      const { mask, entropy } = answer.proposals[k];
      unpacked.masks[k] = masks[k] ?? await drawing.maskOf(mask, colourOf(object));
      if (isActive && entropy) unpacked.heats[k] = heats[k] ?? await drawing.heatLayer(entropy);
    }));
    return unpacked;
  }

  // ---- Controls.

  #show() {
    this.#byId("undo").disabled = !this.#objects.canUndo;
    this.#byId("redo").disabled = !this.#objects.canRedo;
    this.#byId("reset").disabled = this.objects.every(isEmpty);
    this.#byId("add").disabled = isEmpty(this.active) || this.#isFull;
    this.#list();
    this.redraw();
  }

  #list() {
    const list = this.#byId("objects");
    const hadFocus = list.contains(document.activeElement);
    list.replaceChildren(...this.objects.map((object) => this.#entry(object)));
    const active = list.querySelector("input:checked");
    if (hadFocus) active.focus({ preventScroll: true });
    const entry = active.closest("li");
    list.scrollLeft = entry.offsetLeft - list.offsetLeft - (list.clientWidth - entry.offsetWidth) / 2;
  }

  #entry(object) {
    const words = this.#wordsOf(object);
    const input = element("input", {
      type: "radio", name: "active", value: object.number, checked: object === this.active,
      ariaLabel: `Object ${object.number}, ${words.long}`, onchange: () => this.#activate(object.number),
    });
    const badge = element("i", { textContent: object.number });
    badge.style.setProperty("--colour", colourOf(object));
    const label = element("label", {}, input, element("span", {}, badge, words.short));
    const remove = element("button", {
      type: "button", textContent: "×", ariaLabel: `Delete object ${object.number}`,
      onclick: () => this.#remove(object.number), hidden: isEmpty(object) && this.objects.length === 1,
    });
    return element("li", {}, label, remove);
  }

  #wordsOf(object) {
    if (isEmpty(object)) return { short: "click it", long: "not clicked yet" };
    if (this.#isAwaited(object)) return { short: "…", long: "mask awaited" };
    const answer = this.#unpacked.get(object.number)?.answer;
    if (!answer) return { short: "–", long: "no mask" };
    const iou = this.#page.shownIou(answer, this.#chosenOf(object));
    return { short: iou, long: `${answer.proposals[0].expected_iou ? "expected IoU" : "SamScore"} ${iou}` };
  }

  #key(key) {
    const actions = {
      n: () => this.#byId("add").click(),
      "[": () => this.#neighbour(-1),
      "]": () => this.#neighbour(1),
      delete: () => this.#remove(this.active.number),
      u: () => this.#byId("undo").click(),
      h: () => this.#byId("heat").click(),
      "+": () => this.#zoom(ZOOM_STEP),
      "=": () => this.#zoom(ZOOM_STEP),
      "-": () => this.#zoom(1 / ZOOM_STEP),
      f: () => this.#fit(),
      ...Object.fromEntries([0, 1, 2, 3].map((k) => [String(k), () => this.answer?.proposals[k] && this.choose(k)])),
    };
    actions[key]?.();
    return key in actions;
  }

  #zoom(factor) {
    const { cursor } = this.pointing;
    this.view.zoom(factor, cursor ? this.#onMask(cursor) : this.view.center);
    this.redraw();
  }

  #fit() {
    this.view.fit();
    this.redraw();
  }

  #listen() {
    for (const way of ["undo", "redo"]) this.#byId(way).addEventListener("click", () => this.#step(way));
    this.#byId("reset").addEventListener("click", () => this.#step("clear"));
    this.#byId("add").addEventListener("click", () => this.#add());
    this.#byId("heat").addEventListener("change", () => this.redraw());
    this.#byId("zoom-in").addEventListener("click", () => this.#zoom(ZOOM_STEP));
    this.#byId("zoom-out").addEventListener("click", () => this.#zoom(1 / ZOOM_STEP));
    this.#byId("fit").addEventListener("click", () => this.#fit());
    this.#byId("whose").addEventListener("keydown", ({ key }) => key === "Escape" && this.#closeWhose());
    this.root.querySelectorAll("input[name=mode]").forEach((input) => input.addEventListener("change", () => {
      this.#byId("frame").classList.toggle("boxes", this.mode === "box");
    }));
    for (const name of ["focus", "blur"]) this.canvas.addEventListener(name, () => this.redraw());
    new ResizeObserver(() => this.redraw()).observe(this.canvas);
    addEventListener("keydown", (event) => this.#shortcut(event));
  }

  // Ctrl+Z and its like, wherever the focus is, but where a number is typed.
  #shortcut(event) {
    const isTyped = event.target.matches?.("input[type=number], input[type=text], textarea");
    const way = { z: event.shiftKey ? "redo" : "undo", y: "redo" }[event.key.toLowerCase()];
    if (!way || isTyped || event.altKey || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    this.#byId(way).click();
  }
}
