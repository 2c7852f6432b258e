// A queue of masks: one at a time, the most doubtful first, and a decision about each.

import { ask, askJson, Waiting } from "./requests.js";
import { byId, isRefused, showBusy, tell } from "./status.js";
import { Editor, element } from "./editor.js";
import { gainWords, placeOf, scoreOf, sentence } from "./panel.js";

const SEEN_SHARE = 0.4; // of the canvas that the box of a small mask fills
const MOST_ZOOM = 8;

let options;
let startOfServer; // when the page was loaded: ranks of a server that was started again are of other masks
let currentRank = null; // of the mask that decisions are about, also where its image does not open
let current = null; // what the server says of that mask, with its picture; null without a picture
let usesModel = false; // false while the mask of the queue is shown, and no answer of the model
let awaited = null; // gives the number of the mask to show, once the model has answered
let isBusy = false; // while a decision is on its way
const thumbnails = new Map(); // by rank

const waiting = new Waiting(showBusy);

// ---- Decisions. Each has a button and a key, and the help lists them all.

const ACTIONS = [
  { key: "k", name: "Keep", help: "The mask that is shown is right: yours, if you chose or clicked another.", act: keep },
  { key: "o", name: "Other proposal", help: "Show another proposal of the model; again for the next. Then keep it.", act: () => showMask(otherOf) },
  { key: "c", name: "Chosen mask", help: "Show the mask with the highest expected gain. Then keep it.", act: () => showMask(chosenOf) },
  { key: "d", name: "Draw elsewhere", help: "A person will draw it in another tool.", act: () => decide("redraw") },
  { key: "r", name: "Remove", help: "It is no object: leave it out.", act: () => decide("remove") },
  { key: "s", name: "Skip", help: "Look at it again after all others.", act: () => decide("skip") },
  { key: "z", name: "Take back", help: "Undo the last decision.", act: undo },
];
const HELP = [
  ["?", "Show or hide this help."],
];

const same = (prompts, { clicks, box }) => (
  JSON.stringify([prompts.clicks, prompts.box]) === JSON.stringify([clicks, box])
);

async function askAbout(prompts, signal) {
  if (!usesModel && same(prompts, current.prompt)) return current.answer;
  const body = JSON.stringify({ model: options.model, heads: options.heads[0].name, ...prompts });
  const response = await waiting.ask(`images/${current.image}/answer`, { method: "POST", body, signal });
  return response.json();
}

// Whether the mask is the one of the queue, which needs no model, even before it is drawn.
const isOfQueue = () => !usesModel && same(editor.active, current.prompt);

const iouOf = scoreOf;

// Number of the best proposal that is not selected; after that, of the next mask.
function otherOf({ selected, proposals }, isFirst) {
  if (!isFirst) return (editor.chosen + 1) % proposals.length;
  const others = [...proposals.keys()].filter((k) => k !== selected);
  return others.reduce((best, k) => (iouOf(proposals[k]) > iouOf(proposals[best]) ? k : best));
}

// Number of the mask that the heads choose.
function chosenOf({ choice, selected }) {
  if (choice?.gain > 0) return placeOf(choice);
  tell(choice ? "No other mask is expected to gain IoU." : "The heads choose no mask for this prompt.");
  return selected;
}

// Shows a mask of the model, which is asked first where it was not.
function showMask(numberOf) {
  if (!isOfQueue()) {
    if (editor.answer && !editor.isAwaited) editor.choose(numberOf(editor.answer, false));
    return;
  }
  awaited = numberOf;
  usesModel = true;
  editor.askAgain();
}

async function keep() {
  if (isOfQueue()) {
    await decide("keep");
  } else if (editor.downloads.length) {
    await decide("replace", editor.downloads[0]);
  } else if (editor.isAwaited) {
    tell("Wait for the mask of the model, then keep it.");
  } else {
    tell("There must be a mask to keep: click the object, or take the clicks back.");
  }
}

async function decide(decision, object = null) {
  const body = JSON.stringify({ decision, object });
  const response = await waiting.ask(`review/masks/${currentRank}/decision?start=${startOfServer}`, { method: "POST", body });
  thumbnails.delete(currentRank);
  await follow(await response.json());
}

async function undo() {
  const state = await askJson(`review/undo?start=${startOfServer}`, { method: "POST" });
  thumbnails.delete(state.next);
  await follow(state);
}

// A key that is held, or pressed while a decision is written, decides nothing more.
async function act(action) {
  if (isBusy || action.button.disabled) return;
  isBusy = true;
  tell("");
  await isRefused(action.act);
  isBusy = false;
}

// ---- Masks.

async function follow(state) {
  showProgress(state);
  if (state.next === null) showEnd();
  else await show(state.next);
}

async function show(rank) {
  let mask;
  let picture;
  try {
    mask = await askJson(`review/masks/${rank}`);
    const response = await ask(`images/${mask.image}`);
    picture = await createImageBitmap(await response.blob());
  } catch (error) {
    showUnopened(rank);
    throw error;
  }
  currentRank = rank;
  current = { ...mask, name: mask.file, picture };
  byId("editor").hidden = false;
  usesModel = false;
  awaited = null;
  const object = { number: 1, ...current.prompt, proposal: null };
  for (const { button } of ACTIONS) button.disabled = false;
  editor.hold(false);
  editor.open(current, { objects: { steps: [{ objects: [object], active: 1 }] } });
  zoomTo(mask.box_px);
  document.body.dataset.shown = String(rank);
  isRefused(() => showNeighbours(mask)); // nobody waits for them
}

// A mask that nobody sees can only be skipped; the error says which file does not open.
function showUnopened(rank) {
  currentRank = rank;
  current = null;
  showNoMask("The image of this mask does not open.", ["s", "z"]);
  byId("because").textContent = "Skip it to go on: it comes again after all others.";
  byId("editor").hidden = true;
  document.body.dataset.shown = String(rank);
}

// Enlarges a small mask until it can be judged; the key F shows the whole image.
function zoomTo([x, y, width, height]) {
  const scale = editor.canvas.width / current.width_px;
  const share = Math.max(width / current.width_px, height / current.height_px);
  const factor = Math.min(MOST_ZOOM, SEEN_SHARE / Math.max(share, 0.01));
  if (factor <= 1) return;
  const { view } = editor;
  const place = { x: (x + width / 2) * scale, y: (y + height / 2) * scale };
  view.zoom(factor, place);
  view.pan(view.center.x - place.x, view.center.y - place.y);
  editor.redraw();
}

function changed() {
  if (!current) return;
  const { answer, chosen } = editor;
  ACTIONS[0].button.disabled = current.is_empty && isOfQueue(); // Keep
  if (awaited && answer && !editor.isAwaited) {
    const numberOf = awaited;
    awaited = null;
    editor.choose(numberOf(answer, true));
    return;
  }
  if (editor.isAwaited || !answer) {
    byId("words").textContent = "Asking the model";
    byId("because").textContent = "";
    return;
  }
  const isOwn = isOfQueue();
  const iou = iouOf(answer.proposals[chosen]).toFixed(2);
  const gain = gainWords(answer, chosen);
  const score = answer.proposals[chosen].expected_iou ? "Expected IoU" : "SamScore";
  byId("words").textContent = isOwn ? current.words : `${score} ${iou}${gain && `, ${gain}`}`;
  byId("because").textContent = isOwn ? becauseOf(current) : `Mask ${chosen + 1} of ${answer.proposals.length} of the model: Keep takes it.`;
  const caution = isOwn ? current.caution : answer.caution;
  byId("caution").textContent = caution ? sentence(caution) : "";
  byId("caution").hidden = !caution;
}

function becauseOf({ made_by: madeBy, sam_score: samScore, advice, file, decision }) {
  const sentences = [`image ${file}`];
  if (madeBy) sentences.unshift(`made by ${madeBy}`);
  if (samScore !== null) sentences.unshift(`SamScore ${samScore.toFixed(2)}`);
  if (advice.correction !== "none" && advice.correction !== "keep") {
    sentences.push(`most would help: ${advice.words} (+${advice.gain.toFixed(2)})`);
  }
  if (decision) sentences.push(`you decided: ${decision}`);
  return `${sentences.join("; ")}.`;
}

async function showNeighbours({ neighbours: ranks, rank: shown }) {
  const entries = await Promise.all(ranks.map(async (rank) => {
    const src = await thumbnail(rank).catch(() => null); // of an image that does not open
    const button = element("button", {
      type: "button", ariaLabel: `Mask ${rank + 1} of the queue`, ariaCurrent: String(rank === shown),
      disabled: !src, onclick: () => isRefused(() => show(rank)),
    }, src ? element("img", { src, alt: "" }) : "–");
    return element("li", {}, button);
  }));
  if (current?.rank !== shown) return; // another mask was shown meanwhile
  byId("neighbours").replaceChildren(...entries);
  for (const rank of thumbnails.keys()) {
    if (ranks.includes(rank)) continue;
    URL.revokeObjectURL(thumbnails.get(rank));
    thumbnails.delete(rank);
  }
}

async function thumbnail(rank) {
  if (!thumbnails.has(rank)) {
    const response = await ask(`review/masks/${rank}/thumbnail`);
    thumbnails.set(rank, URL.createObjectURL(await response.blob()));
  }
  return thumbnails.get(rank);
}

function showEnd() {
  showNoMask("All masks are looked at.", ["z"]);
  document.body.dataset.shown = "end";
}

function showNoMask(words, keys) {
  editor.hold(true);
  byId("words").textContent = words;
  byId("because").textContent = "";
  byId("caution").hidden = true;
  byId("neighbours").replaceChildren();
  for (const { key, button } of ACTIONS) button.disabled = !keys.includes(key);
}

function showProgress(state) {
  const reviewed = state.n_masks - state.n_left;
  byId("title").textContent = `Review of ${state.name}`;
  const skipped = state.n_skipped ? `, ${state.n_skipped} skipped` : "";
  byId("left").textContent = `${state.n_left} of ${state.n_masks} masks left${skipped}`;
  byId("bar").value = state.n_masks ? reviewed / state.n_masks : 1;
  const iou = (value) => (value === null ? "–" : value.toFixed(3));
  byId("expected").replaceChildren(
    element("dt", { textContent: "Expected IoU of the masks left" }),
    element("dd", { textContent: iou(state.rest_iou) }),
    element("dt", { textContent: "Of all, if those you looked at are right" }),
    element("dd", { textContent: iou(state.whole_iou) }),
  );
  byId("expected").hidden = state.whole_iou === null; // of annotations, nothing is expected
  byId("stop").textContent = state.may_stop;
  byId("decisions-file").textContent = state.decisions;
}

// ---- Controls.

function toggleHelp() {
  const help = byId("help");
  if (help.open) help.close();
  else help.showModal();
}

function offerActions() {
  for (const action of ACTIONS) {
    const { key, name } = action;
    action.button = element(
      "button",
      { type: "button", id: `decide-${key}`, ariaKeyShortcuts: key, onclick: () => act(action) },
      name,
      element("kbd", { textContent: key.toUpperCase() }),
    );
    action.button.classList.toggle("primary", key === "k");
  }
  byId("decisions").append(...ACTIONS.map(({ button }) => button));
  const lines = [...ACTIONS.map(({ key, name, help }) => [key.toUpperCase(), `${name}. ${help}`]), ...HELP];
  byId("help-keys").append(...lines.flatMap(([key, words]) => [
    element("dt", {}, element("kbd", { textContent: key })), element("dd", { textContent: words }),
  ]));
  byId("help-editor").append(...byId("keys").cloneNode(true).childNodes);
}

function listen() {
  byId("help-open").addEventListener("click", toggleHelp);
  byId("help-close").addEventListener("click", toggleHelp);
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    if (event.key === "?") toggleHelp();
    const action = ACTIONS.find(({ key }) => key === event.key.toLowerCase());
    if (action && !byId("help").open) act(action);
  });
}

let editor;

export async function start(offered) {
  options = offered;
  editor = new Editor(byId("editor"), {
    ask: askAbout,
    changed,
    refused: (error) => tell(error.message),
    shownIou: (answer, k) => iouOf(answer.proposals[k]).toFixed(2),
    mostObjects: 1,
  });
  document.title = "USAM: review of masks";
  byId("title").textContent = "Review";
  byId("advice-title").textContent = "This mask";
  offerActions();
  listen();
  const state = await askJson("review");
  startOfServer = state.start;
  await follow(state);
}
