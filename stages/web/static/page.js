// The page: one image, one prompt, and what the server says of it.

import { ask, askJson, Turn } from "./requests.js";
import * as drawing from "./drawing.js";
import * as panel from "./panel.js";
import { Pointing } from "./pointing.js";
import * as session from "./session.js";

const byId = (id) => document.getElementById(id);
const canvas = byId("canvas");
const draw = canvas.getContext("2d");
const THUMBNAIL_PX = 216;
const SHADE = 0.25; // on what is not in the mask
const THUMBNAIL_SHADE = 0.6;
const QUEUE_MS = 10_000;
const NOTHING = "Click the object that you want.";
const EMPTY = { clicks: [], box: null };

let options;
let image = null; // what the server says of it, its picture, its file's name, and the scene's number
let prompts = [EMPTY]; // all so far: undo goes back
let found = null; // the answer about the last prompt, its masks as layers
let chosen = 0;
let wanted = null; // the proposal that was chosen before the page was loaded again
let boxing = null; // while it is drawn
let opening = 0; // images on their way: clicks would be on one that goes
let isAwaited = false; // whether the answer about the last prompt is yet to come
let nAsked = 0; // answers and images asked for: what an older one brings is dropped

const prompt = () => prompts[prompts.length - 1];
const mode = () => document.querySelector("input[name=mode]:checked").value;
const headsChosen = () => options.heads.find(({ name }) => name === byId("heads").value);
const choice = () => ({ model: byId("model").value, heads: byId("heads").value });

// Opening and asking wait for one another: a newer request gives up the older one.
const turn = new Turn((queue) => {
  const busy = byId("busy");
  busy.hidden = queue === null;
  if (queue) {
    busy.textContent = queue.length > 1 ? "Waiting" : "Working";
    showQueue(queue.length);
  } else lookAtQueue();
});

const showQueue = (length) => { byId("queue").textContent = `Queue: ${length}`; };

function tell(words) {
  byId("fault").textContent = words;
  byId("fault").hidden = !words;
}

// Runs what may be refused, and says whether it was; the words of a refusal are shown, and those of
// an earlier one end when something is done. What is given up says nothing.
async function isRefused(work, words = "") {
  try {
    await work();
    tell(words);
  } catch (error) {
    if (error.name === "AbortError") return false;
    if (error.name !== "Error") throw error;
    tell(error.message);
    return true;
  }
  return false;
}

function redraw() {
  if (!image) return;
  drawing.drawPicture(draw, image.picture);
  const layers = found?.layers[chosen];
  if (layers && byId("heat").checked) drawing.drawHeat(draw, layers.heat);
  else if (layers) drawing.drawMask(draw, layers, SHADE);
  const dot = (8 * canvas.width) / (canvas.clientWidth || canvas.width);
  const scale = canvas.width / image.width_px;
  drawing.drawPrompts(draw, { ...prompt(), box: boxing ?? prompt().box }, scale, dot);
  if (pointing.cursor) drawing.drawCursor(draw, pointing.cursor, scale, dot);
  byId("scale").hidden = !(found && byId("heat").checked);
}

function thumbnail(k) {
  const small = panel.element("canvas");
  const scale = THUMBNAIL_PX / Math.max(canvas.width, canvas.height);
  small.width = Math.max(1, scale * canvas.width);
  small.height = Math.max(1, scale * canvas.height);
  const own = small.getContext("2d");
  drawing.drawPicture(own, image.picture);
  drawing.drawMask(own, found.layers[k], THUMBNAIL_SHADE);
  return small;
}

function showPrompt() {
  byId("undo").disabled = prompts.length < 2;
  byId("reset").disabled = prompt() === EMPTY;
  redraw();
}

function choose(k) {
  chosen = k;
  panel.showChosen(found, k);
  redraw();
}

function followable() {
  const { correction } = found.advice;
  if (correction === "task") return [`Show proposal ${found.alternative}`, () => choose(found.alternative)];
  const { known, models } = headsChosen();
  const largest = known.at(-1);
  if (correction !== "model" || byId("model").value === largest || !models.includes(largest)) return null;
  return [`Ask the ${largest.replace("_", " ")} model`, () => {
    byId("model").value = largest;
    askAgain();
  }];
}

// Of the heads that are chosen: models whose weights are there, and what they do not know.
function showHeads(wanted = byId("model").value) {
  const { models, known } = headsChosen();
  panel.knowModels(known);
  byId("model").replaceChildren(...models.map((name) => new Option(name.replace("_", " "), name)));
  byId("model").value = models.includes(wanted) ? wanted : models[0];
  showDrawnOnly();
}

function showDrawnOnly() {
  byId("drawn-only").hidden = !image || image.is_scene || !headsChosen().knows_drawn_only;
}

async function layersOf(proposal) {
  const [mask, entropy] = await Promise.all([proposal.mask, proposal.entropy].map(drawing.bitmapOf));
  const thick = Math.max(mask.width, mask.height) / 256;
  return { ...drawing.maskLayers(mask, thick), heat: drawing.heatLayer(entropy) };
}

function allowDownloads(isAllowed) {
  for (const id of ["coco", "mask"]) byId(id).disabled = !isAllowed;
}

function forgetAnswer(words) {
  found = null;
  isAwaited = false;
  allowDownloads(false);
  panel.showNothing(words);
}

// `words` of a refusal are to stay beside the answer.
async function askAgain(words = "") {
  if (!image || opening) return;
  showPrompt();
  const asked = prompt();
  const own = ++nAsked;
  if (!asked.box && !asked.clicks.some((click) => click.label)) {
    turn.giveUp();
    forgetAnswer(asked.clicks.length ? "Now click the object itself." : NOTHING);
    redraw();
    return;
  }
  allowDownloads(false); // of an answer that is about to go
  isAwaited = true;
  const refused = await isRefused(async () => {
    const body = JSON.stringify({ ...choice(), ...asked, costs: panel.costs() });
    const response = await turn.take(`images/${image.image}/answer`, { method: "POST", body });
    const told = await response.json();
    const layers = await Promise.all(told.proposals.map(layersOf));
    if (own !== nAsked) return; // another was asked while the masks were unpacked
    found = { ...told, layers };
    isAwaited = false;
    showAnswer();
  }, words);
  if (refused) isAwaited = false;
}

function showAnswer() {
  chosen = wanted ?? found.selected;
  wanted = null;
  panel.showAdvice(found);
  panel.showFollow(followable());
  panel.showProposals(found, chosen, thumbnail, choose);
  allowDownloads(true);
  choose(chosen);
  document.body.dataset.answered = String(Number(document.body.dataset.answered ?? 0) + 1);
}

function give(next) {
  wanted = null;
  prompts.push(next);
  return askAgain();
}

// `take` brings what the server says of an image; `first` has the prompts that it is opened with.
async function open(take, { fileName, scene = null, first = [EMPTY], proposal = null }) {
  opening += 1;
  const own = ++nAsked;
  const refused = await isRefused(async () => {
    const told = await take();
    const picture = await createImageBitmap(await (await ask(`images/${told.image}`)).blob());
    if (own !== nAsked) {
      close(told); // another was opened while the picture came
      return;
    }
    if (image) close(image);
    image = { ...told, picture, fileName, scene };
    [canvas.height, canvas.width] = told.shown_size_px;
    canvas.style.setProperty("--ratio", canvas.width / canvas.height);
    canvas.ariaLabel = `Image ${fileName}, ${told.width_px} by ${told.height_px} pixels`;
    prompts = first;
    wanted = proposal;
    pointing.forget();
    markScene(scene);
    showDrawnOnly();
    forgetAnswer(NOTHING);
    showPrompt();
  });
  opening -= 1;
  // It has cut off the answer about the image that stays.
  if (refused && isAwaited) await askAgain(byId("fault").textContent);
  else if (!refused && !found && !isAwaited) await askAgain();
  return !refused;
}

function close({ image: name }, query = "") {
  ask(`images/${name}${query}`, { method: "DELETE", keepalive: true }).catch(() => {}); // it goes by itself, too
}

async function upload(address, body) {
  const query = new URLSearchParams({ ...choice(), ...address });
  return (await turn.take(`images?${query}`, { method: "POST", body })).json();
}

const openFile = (file) => open(() => {
  if (file.size > options.most_bytes) {
    const given = (file.size / 1e6).toFixed(1);
    throw new Error(`image must be of at most ${options.most_bytes / 1e6} MB, got ${given}`);
  }
  return upload({}, file);
}, { fileName: file.name });

function openScene(scene, given = {}) {
  const first = [EMPTY, { clicks: [{ ...options.scenes[scene], label: 1 }], box: null }];
  return open(() => upload({ scene }, null), { fileName: `scene-${scene + 1}.png`, scene, first, ...given });
}

const offers = (id, value) => [...byId(id).options].some((option) => option.value === value);

function keepPage() {
  if (!image) return;
  const { picture, ...told } = image;
  const controls = { ...choice(), mode: mode(), heat: byId("heat").checked };
  session.keep({ told, first: prompts, proposal: found && chosen, controls });
}

// What the tab showed before it was loaded again; else, the first scene.
async function openFirst() {
  const kept = session.kept();
  if (!kept) return openScene(0);
  const { told, first, proposal, controls } = kept;
  for (const id of ["heads", "model"]) {
    if (offers(id, controls[id])) byId(id).value = controls[id];
  }
  byId("heat").checked = controls.heat;
  document.querySelector(`input[name=mode][value=${controls.mode}]`).click();
  if (told.scene in options.scenes) return openScene(told.scene, { first, proposal });
  if (await open(() => told, { ...told, first, proposal })) return;
  const words = byId("fault").textContent;
  await openScene(0);
  tell(words);
}

function markScene(number) {
  byId("scenes").querySelectorAll("button").forEach((button, i) => {
    button.ariaPressed = String(i === number);
  });
}

async function download(kind, suffix, type) {
  await isRefused(async () => {
    const { fileName } = image;
    const question = { ...choice(), ...prompt(), costs: panel.costs(), proposal: chosen, file_name: fileName.slice(0, 255) };
    const body = JSON.stringify(question);
    const response = await turn.take(`images/${image.image}/${kind}`, { method: "POST", body });
    const href = URL.createObjectURL(new Blob([await response.blob()], { type }));
    const stem = fileName.replace(/\.[^.]*$/, "");
    panel.element("a", { href, download: `${stem}${suffix}` }).click();
    setTimeout(() => URL.revokeObjectURL(href), 60_000);
  });
}

const told = ({ x, y }) => `${Math.round(x)}, ${Math.round(y)}`;

const actions = {
  u: () => byId("undo").click(),
  h: () => byId("heat").click(),
  ...Object.fromEntries([0, 1, 2].map((k) => [String(k), () => found && choose(k)])),
};

const pointing = new Pointing(canvas, {
  size: () => image && !opening && { width: image.width_px, height: image.height_px },
  mode,
  click: (place, label) => give({ ...prompt(), clicks: [...prompt().clicks, { ...place, label }] }),
  box: (box) => give({ ...prompt(), box }),
  boxing: (box) => { boxing = box; redraw(); },
  moved: (place) => { byId("place").textContent = told(place); redraw(); },
  marked: () => { byId("place").textContent = `${told(pointing.cursor)} marked`; redraw(); },
  key: (key) => {
    actions[key]?.();
    return key in actions;
  },
});

function listen() {
  byId("undo").addEventListener("click", () => { wanted = null; prompts.pop(); askAgain(); });
  byId("reset").addEventListener("click", () => give(EMPTY));
  byId("heat").addEventListener("change", redraw);
  byId("coco").addEventListener("click", () => download("coco", ".json", "application/json"));
  byId("mask").addEventListener("click", () => download("mask", "-mask.png", "image/png"));
  byId("open").addEventListener("click", () => byId("file").click());
  byId("file").addEventListener("change", ({ target }) => {
    if (target.files.length) openFile(target.files[0]);
    target.value = ""; // so that the same file can be opened again
  });
  byId("heads").addEventListener("change", () => showHeads());
  for (const id of ["model", "heads"]) byId(id).addEventListener("change", () => askAgain());
  document.querySelectorAll("input[name=mode]").forEach((input) => input.addEventListener("change", () => {
    byId("frame").classList.toggle("boxes", mode() === "box");
  }));
  for (const name of ["focus", "blur"]) canvas.addEventListener(name, redraw);
  new ResizeObserver(redraw).observe(canvas);
  listenForFiles();
  addEventListener("visibilitychange", keepPage); // telephones may end a page that is not seen
  addEventListener("pagehide", ({ persisted }) => {
    keepPage();
    if (image && !persisted) close(image, "?left=true");
  });
}

function listenForFiles() {
  const isFile = ({ dataTransfer }) => dataTransfer?.types.includes("Files");
  addEventListener("dragover", (event) => {
    if (!isFile(event)) return;
    event.preventDefault();
    byId("drop").hidden = false;
  });
  addEventListener("dragleave", ({ relatedTarget }) => { if (!relatedTarget) byId("drop").hidden = true; });
  addEventListener("drop", (event) => {
    byId("drop").hidden = true;
    if (!isFile(event)) return;
    event.preventDefault();
    if (event.dataTransfer.files.length) openFile(event.dataTransfer.files[0]);
  });
  addEventListener("paste", ({ clipboardData }) => {
    if (clipboardData.files.length) openFile(clipboardData.files[0]);
  });
}

async function addScene(number) {
  const picture = URL.createObjectURL(await (await ask(`scenes/${number}`)).blob());
  const button = panel.element("button", { type: "button", ariaLabel: `Scene ${number + 1}`, ariaPressed: "false" });
  button.append(panel.element("img", { src: picture, alt: "" }));
  button.addEventListener("click", () => openScene(number));
  return button;
}

async function lookAtQueue() {
  if (document.hidden) return;
  try {
    showQueue((await askJson("queue")).length);
  } catch (error) {
    tell(error.message);
  }
}

async function start() {
  options = await askJson("options");
  byId("heads").append(...options.heads.map(({ name, label }) => new Option(label, name)));
  showHeads(options.model);
  panel.showNothing(NOTHING);
  panel.offerCosts(options.costs, () => askAgain());
  byId("scenes").append(...await Promise.all(options.scenes.map((_, number) => addScene(number))));
  listen();
  setInterval(lookAtQueue, QUEUE_MS);
  await lookAtQueue();
}

isRefused(start).then((refused) => refused || openFirst());
