// Numbered objects and their prompts, with the steps that undo and redo go through. Nothing is drawn
// or asked here.

const MOST_STEPS = 200;

const COLOURS = ["#22c55e", "#3b82f6", "#f97316", "#a855f7", "#06b6d4", "#eab308", "#ec4899", "#84cc16"];

export const colourOf = ({ number }) => COLOURS[(number - 1) % COLOURS.length];

export const promptsOf = ({ clicks, box }) => ({ clicks, box });

// A model answers prompts with a box or a click on the object.
export const isAskable = ({ clicks, box }) => Boolean(box) || clicks.some(({ label }) => label);

export const isEmpty = ({ clicks, box }) => !box && !clicks.length;

// `proposal` is the user's choice of the three; null for the model's.
const emptyObject = (number) => ({ number, clicks: [], box: null, proposal: null });

const start = () => ({ objects: [emptyObject(1)], active: 1 });

// A step is never changed, only replaced: undo goes back to it.
export class Objects {
  #steps = [start()];
  #place = 0;

  // Steps that `toJSON` gave, or the click of a scene that its image opens with.
  restore(saved) {
    this.#steps = saved?.steps ?? [start()];
    this.#place = saved?.place ?? this.#steps.length - 1;
  }

  toJSON() {
    return { steps: this.#steps, place: this.#place };
  }

  get all() { return this.#steps[this.#place].objects; }

  get active() { return this.all.find(({ number }) => number === this.#steps[this.#place].active); }

  get canUndo() { return this.#place > 0; }

  get canRedo() { return this.#place < this.#steps.length - 1; }

  undo() { this.#place -= this.canUndo; }

  redo() { this.#place += this.canRedo; }

  prompt(prompts) {
    this.#take({ ...this.active, ...prompts, proposal: null });
  }

  add(prompts = {}) {
    if (isEmpty(this.active)) {
      if (!isEmpty({ ...this.active, ...prompts })) this.prompt(prompts);
      return;
    }
    const number = Math.max(...this.all.map((object) => object.number)) + 1;
    this.#step({ objects: [...this.all, { ...emptyObject(number), ...prompts }], active: number });
  }

  remove(number) {
    const place = this.all.findIndex((object) => object.number === number);
    const others = this.all.filter((object) => object.number !== number);
    if (!others.length) this.clear();
    else {
      const isActive = number === this.active.number;
      const next = isActive ? others[Math.min(place, others.length - 1)] : this.active;
      this.#step({ objects: others, active: next.number });
    }
  }

  clear() {
    this.#step(start());
  }

  // No steps of their own: which object is active, and which proposal is chosen. An object that was
  // left without any prompt goes.
  activate(number) {
    const objects = this.all.filter((object) => object.number === number || !isEmpty(object));
    this.#steps[this.#place] = { objects, active: number };
  }

  choose(proposal) {
    this.#steps[this.#place] = this.#with({ ...this.active, proposal });
  }

  #with(changed) {
    const objects = this.all.map((object) => (object.number === changed.number ? changed : object));
    return { objects, active: changed.number };
  }

  #take(changed) {
    this.#step(this.#with(changed));
  }

  #step(step) {
    this.#steps = [...this.#steps.slice(0, this.#place + 1), step].slice(-MOST_STEPS);
    this.#place = this.#steps.length - 1;
  }
}
