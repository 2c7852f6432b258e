// Images to click on: opens them in the editor, and shows what the server says of the active object.

import { ask, Waiting } from "./requests.js";
import { byId, isRefused, showBusy, tell } from "./status.js";
import { Editor, element } from "./editor.js";
import * as panel from "./panel.js";
import * as session from "./session.js";

const FIRST = "Click an object.";
const AWAITED = "Asking the model.";
const ONLY_BACKGROUND = "Now click the object itself.";

let options;
let image = null; // what the server says of it, its picture, its file's name, and the scene's number
let opening = null; // the last image on its way: a newer one gives it up
let isChosen = false; // whether the user chose heads
let shown = {}; // the object whose answer the panel shows, and the answer

const headsChosen = () => options.heads.find(({ name }) => name === byId("heads").value);
const choice = () => ({ model: byId("model").value, heads: byId("heads").value });

const waiting = new Waiting(showBusy);

// ---- Answers.

async function askAbout(prompts, signal) {
  const body = JSON.stringify({ ...choice(), ...prompts, costs: panel.costs() });
  const response = await waiting.ask(`images/${image.image}/answer`, { method: "POST", body, signal });
  return response.json();
}

function changed() {
  const { active, answer, chosen, downloads, isAwaited, objects } = editor;
  for (const id of ["coco", "masks"]) byId(id).disabled = !downloads.length;
  if (!answer) {
    shown = {};
    const words = active.clicks.length || active.box ? ONLY_BACKGROUND : FIRST;
    panel.showNothing(isAwaited ? AWAITED : words, { number: active.number, isOneOfSeveral: objects.length > 1 });
  } else if (answer !== shown.answer || active.number !== shown.number) {
    shown = { answer, number: active.number, chosen };
    panel.showAnswer(answer, chosen, editor);
    panel.showFollow(followable(answer));
    document.body.dataset.answered = String(Number(document.body.dataset.answered ?? 0) + 1);
  } else if (chosen !== shown.chosen) {
    shown.chosen = chosen;
    panel.showChosen(answer, chosen);
  }
}

function followable({ advice, choice }) {
  const { correction } = advice;
  if (correction === "task") return ["Show the chosen mask", () => editor.choose(panel.placeOf(choice))];
  const { known, models } = headsChosen();
  const largest = known.at(-1);
  if (correction !== "model" || byId("model").value === largest || !models.includes(largest)) return null;
  return [`Ask the ${panel.modelWords(largest)} model`, () => {
    byId("model").value = largest;
    editor.askAgain();
  }];
}

// Of the heads that are chosen: models whose weights are there, and what they do not know.
function showHeads(model = byId("model").value) {
  const { models, known } = headsChosen();
  panel.knowModels(known);
  byId("model").replaceChildren(...models.map((name) => new Option(panel.modelWords(name), name)));
  byId("model").value = models.includes(model) ? model : models[0];
  showDrawnOnly();
}

function showDrawnOnly() {
  byId("drawn-only").hidden = !image || image.is_scene || !headsChosen().knows_drawn_only;
}

// Heads for drawn scenes, others for files, until the user chooses heads.
const headsFor = (usual) => (isChosen ? choice().heads : usual);

// ---- Images.

// `take` brings what the server says of an image, `about` the rest, with the heads that such images
// usually have; `saved` is for the editor.
async function open(take, about, saved) {
  opening?.abort();
  const abort = new AbortController();
  opening = abort;
  editor.hold(true);
  const refused = await isRefused(async () => {
    const facts = await take(abort.signal);
    const response = await ask(`images/${facts.image}`);
    const picture = await createImageBitmap(await response.blob());
    if (opening !== abort) {
      close(facts); // another was opened while the picture came
      return;
    }
    if (image) close(image);
    image = { ...facts, ...about, picture };
    byId("heads").value = headsFor(about.heads);
    showHeads();
    tell("");
    shown = {};
    markScene(about.scene);
    editor.open(image, saved);
  });
  if (opening === abort) {
    opening = null;
    editor.hold(false);
  }
  return !refused;
}

function close({ image: name }, query = "") {
  ask(`images/${name}${query}`, { method: "DELETE", keepalive: true }).catch(() => {}); // it goes by itself, too
}

async function upload(usual, address, body, signal) {
  const query = new URLSearchParams({ ...choice(), heads: headsFor(usual), ...address });
  return (await waiting.ask(`images?${query}`, { method: "POST", body, signal })).json();
}

const openFile = (file) => open((signal) => {
  if (file.size > options.most_bytes) {
    const size = (file.size / 1e6).toFixed(1);
    throw new Error(`image must be of at most ${options.most_bytes / 1e6} MB, got ${size}`);
  }
  return upload(options.heads_of_files, {}, file, signal);
}, { name: file.name, scene: null, heads: options.heads_of_files });

// A drawn scene opens with a click, so that the page opens on an answer.
function openScene(scene, saved) {
  const { file: name, click } = options.scenes[scene];
  const steps = [[], [click]].map((clicks) => ({
    objects: [{ number: 1, clicks, box: null, proposal: null }], active: 1,
  }));
  const first = click ? { objects: { steps } } : undefined;
  const heads = options.heads_of_scenes;
  const take = (signal) => upload(heads, { scene }, null, signal);
  return open(take, { name, scene, heads }, saved ?? first);
}

function markScene(number) {
  byId("scenes").querySelectorAll("button").forEach((button, i) => {
    button.ariaPressed = String(i === number);
  });
}

// ---- A page that is loaded again.

function savePage() {
  if (!image) return;
  const { picture, ...facts } = image;
  session.save({ facts, controls: { ...choice(), isChosen }, editor: editor.toJSON() });
}

const offers = (id, value) => [...byId(id).options].some((option) => option.value === value);

// What the tab showed before; else, the first scene.
async function openFirst() {
  const saved = session.saved();
  if (!saved) return openScene(0);
  const { facts, controls } = saved;
  if (offers("heads", controls.heads)) byId("heads").value = controls.heads;
  isChosen = controls.isChosen;
  showHeads(controls.model);
  if (facts.scene in options.scenes) return openScene(facts.scene, saved.editor);
  const about = { name: facts.name, scene: null, heads: options.heads_of_files };
  if (await open(() => facts, about, saved.editor)) return;
  const words = byId("fault").textContent;
  await openScene(0);
  tell(words);
}

// ---- Downloads.

async function download(kind, suffix) {
  await isRefused(async () => {
    const objects = editor.downloads;
    const body = JSON.stringify({
      ...choice(), objects, costs: panel.costs(), file_name: image.name.slice(0, 255),
    });
    const response = await waiting.ask(`images/${image.image}/${kind}`, { method: "POST", body });
    const href = URL.createObjectURL(await response.blob());
    const stem = image.name.replace(/\.[^.]*$/, "");
    element("a", { href, download: `${stem}${suffix}` }).click();
    setTimeout(() => URL.revokeObjectURL(href), 60_000);
  });
}

// ---- Controls.

function listen() {
  byId("coco").addEventListener("click", () => download("coco", ".json"));
  byId("masks").addEventListener("click", () => download("masks", "-masks.zip"));
  byId("open").addEventListener("click", () => byId("file").click());
  byId("file").addEventListener("change", ({ target }) => {
    if (target.files.length) openFile(target.files[0]);
    target.value = ""; // so that the same file can be opened again
  });
  byId("heads").addEventListener("change", () => {
    isChosen = true;
    showHeads();
  });
  for (const id of ["model", "heads"]) byId(id).addEventListener("change", () => editor.askAgain());
  for (const name of ["pointerdown", "keydown"]) byId("editor").addEventListener(name, () => tell(""));
  listenForFiles();
  addEventListener("visibilitychange", savePage); // telephones may end a page that is not seen
  addEventListener("pagehide", ({ persisted }) => {
    savePage();
    if (image && !persisted) close(image, "?may_return=true");
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

function addScene({ label }, number) {
  const button = element("button", { type: "button", ariaLabel: label, title: label, ariaPressed: "false" });
  button.append(element("img", { alt: "" }));
  button.addEventListener("click", () => openScene(number));
  button.dataset.number = number;
  seenScenes.observe(button);
  return button;
}

// Pictures come when they are scrolled into view: there may be thousands.
const seenScenes = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (!isIntersecting) continue;
    seenScenes.unobserve(target);
    showPicture(target);
  }
});

async function showPicture(button) {
  try {
    const response = await ask(`scenes/${button.dataset.number}`);
    button.firstChild.src = URL.createObjectURL(await response.blob());
  } catch {
    button.replaceChildren(button.title); // the image says what is wrong when it is opened
  }
}

function offerScenes() {
  byId("scenes").append(...options.scenes.map(addScene));
  if (options.scenes[0].click) return;
  byId("scenes").ariaLabel = "Encoded images";
  byId("offer").textContent = `or drop one, or take one of ${options.scenes.length} encoded images:`;
}

let editor;

export async function start(offered) {
  options = offered;
  byId("heads").append(...options.heads.map(({ name, label }) => new Option(label, name)));
  editor = new Editor(byId("editor"), {
    ask: askAbout,
    changed,
    refused: (error) => tell(error.message),
    shownIou: panel.shownIou,
    mostObjects: options.most_objects,
  });
  showHeads(options.model);
  panel.showNothing(FIRST);
  panel.offerCosts(options.costs, () => editor.askAgain());
  offerScenes();
  listen();
  await openFirst();
}
