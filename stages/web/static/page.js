// The page: images to click on (`usam demo`), or a queue of masks to decide about (`usam review`).

import { askJson } from "./requests.js";
import { isRefused } from "./status.js";

isRefused(async () => {
  const options = await askJson("options");
  const { source } = options;
  document.body.classList.add(source);
  for (const part of document.querySelectorAll(`[data-source=${source}]`)) part.hidden = false;
  const { start } = await import(`./${source}.js`);
  await start(options);
});
