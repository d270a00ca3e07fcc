// The page: a text, several lines or a file to the service, and its answers.

import { call, ServiceError, textError } from "./api.js";
import { byId, make, makeSnippet } from "./dom.js";
import { makeAnswer, makeDocument, makeError, makeSummary, makeTable, milliseconds } from "./results.js";
import { MAX_TEXTS, snippets } from "./snippets.js";
import { FileError, lines, readFile } from "./texts.js";

const MODEL_RETRY_SECONDS = 2;
const MAX_TRIES = 4;
const MAX_WAIT_SECONDS = 30;
const PREVIEW_TEXTS = 3;
const CLASSIFYING = "Classifying …";

const text = byId("text");
let model; // as GetModel tells it
let file; // as readFile returns it, with its name; without one, the text that is typed counts
let running; // the AbortController of the request under way
let asking; // the timer of the next GetModel

// --- What to classify ---

function texts() {
  if (file) return file.columns ? file.rows.map((row) => row[file.column] ?? "") : file.texts;
  return byId("by-line").checked ? lines(text.value) : [text.value];
}

/** Sentences are of one text, and of a server that knows them. */
function showChoices() {
  byId("by-sentence-row").hidden = Boolean(file) || byId("by-line").checked || !model?.windows;
}

function bySentence() {
  return byId("by-sentence").checked && !byId("by-sentence-row").hidden;
}

function showFile() {
  byId("typed").hidden = Boolean(file);
  byId("by-line-row").hidden = Boolean(file);
  showChoices();
  byId("chosen").hidden = !file;
  if (file) {
    const all = texts();
    byId("file-name").textContent = file.name;
    byId("file-count").textContent = `${all.length} ${all.length === 1 ? "text" : "texts"}`;
    byId("column-row").hidden = !file.columns;
    byId("preview").replaceChildren(...all.slice(0, PREVIEW_TEXTS).map((shown) => make("li", {}, shown)));
  }
  showSnippets();
}

async function choose(chosen) {
  reset();
  try {
    file = { name: chosen.name, ...(await readFile(chosen)) };
  } catch (error) {
    showError(error);
    return;
  }
  if (file.columns) {
    const options = file.columns.map((title, index) => make("option", { value: `${index}` }, title));
    byId("column").replaceChildren(...options);
    byId("column").value = `${file.column}`;
  }
  showFile();
  byId("send").focus();
}

// --- The service ---

function token() {
  return byId("token").value.trim();
}

async function loadModel() {
  clearTimeout(asking);
  try {
    ({ model } = await call("GetModel", {}, { token: token() }));
  } catch (error) {
    showModel("failed", error.message);
    if (error.code === "unauthenticated") askForToken();
    else if (error.code === "unavailable") asking = setTimeout(loadModel, MODEL_RETRY_SECONDS * 1e3);
    return;
  }
  const engine = `${model.engine} ${model.precision} on ${model.device}`;
  showModel("ready", `${model.name} · ${engine} · reads ${model.limits.maxTokens} tokens of a text`);
  showChoices();
  byId("model").title = `revision ${model.revision}`;
}

function showModel(state, words) {
  byId("model").dataset.state = state;
  byId("model-text").textContent = words;
}

function askForToken() {
  byId("token-row").hidden = false;
  byId("token").focus();
}

/** Call, and try again as the service says where it is overloaded. */
async function callPatiently(method, request, signal) {
  for (let tries = 1; ; tries++) {
    try {
      return await call(method, request, { token: token(), signal });
    } catch (error) {
      const wait = error.retrySeconds;
      if (wait === undefined || wait > MAX_WAIT_SECONDS || tries === MAX_TRIES) throw error;
      await new Promise((resolve, reject) => {
        const timer = setTimeout(resolve, wait * 1e3);
        signal.addEventListener("abort", () => (clearTimeout(timer), reject(signal.reason)));
      });
    }
  }
}

async function classifyOne(only, signal) {
  const begin = performance.now();
  const whole = bySentence();
  const request = whole ? { text: only, offsetUnit: "OFFSET_UNIT_UTF16_UNITS" } : { text: only };
  const reply = await call(whole ? "ClassifyDocument" : "Classify", request, { token: token(), signal });
  const took = milliseconds((performance.now() - begin) / 1e3);
  const answer = whole ? { sentiment: reply.document, timings: reply.timings } : reply;
  byId("result").replaceChildren(makeAnswer(answer, model), ...(whole ? [makeDocument(reply, only)] : []));
  const { label, score = 0 } = answer.sentiment;
  byId("status").replaceChildren(`Answered in ${took}`, make("span", { class: "hidden" }, `: ${label}, score ${score.toFixed(3)}`));
  if (answer.sentiment.model?.revision !== model.revision) loadModel(); // the server has another one
}

async function classifyMany(all, signal) {
  const begin = performance.now();
  const rows = [];
  const size = model.limits.maxBatchTexts;
  byId("progress").hidden = all.length <= size;
  try {
    for (let from = 0; from < all.length; from += size) {
      const batch = all.slice(from, from + size);
      const { results } = await callPatiently("BatchClassify", { texts: batch }, signal);
      results.forEach(({ sentiment, error }, at) =>
        rows.push({ index: from + at, text: batch[at], sentiment, error: error && textError(error) }));
      byId("progress").value = rows.length / all.length;
    }
  } finally {
    // An error or a stop leaves the answers that came before it, another request does not.
    if (running?.signal === signal) {
      if (rows.length) byId("result").replaceChildren(makeSummary(rows), makeTable(rows));
      const took = ((performance.now() - begin) / 1e3).toFixed(1);
      say(`${rows.length} of ${all.length} texts in ${took} s`);
      byId("progress").hidden = true;
    }
  }
}

async function send() {
  reset();
  const mine = (running = new AbortController());
  byId("stop").hidden = false;
  say(CLASSIFYING);
  try {
    if (!model) ({ model } = await call("GetModel", {}, { token: token(), signal: mine.signal }));
    const all = texts();
    if (file || byId("by-line").checked) await classifyMany(all, mine.signal);
    else await classifyOne(all[0], mine.signal);
  } catch (error) {
    if (running !== mine) return;
    if (byId("status").textContent === CLASSIFYING) say(error.name === "AbortError" ? "Stopped" : "");
    if (error.name === "AbortError") return;
    showError(error);
    if (error.code === "unauthenticated") askForToken();
  } finally {
    if (running === mine) {
      byId("stop").hidden = true;
      showSnippets();
    }
  }
}

// --- What is shown ---

function say(words) {
  byId("status").textContent = words;
}

/** Give up the request under way, and show nothing. */
function reset() {
  running?.abort();
  running = undefined;
  byId("stop").hidden = true;
  byId("progress").hidden = true;
  byId("error").replaceChildren();
  byId("result").replaceChildren();
  byId("progress").value = 0;
  say("");
}

function showError(error) {
  if (!(error instanceof ServiceError || error instanceof FileError)) throw error;
  byId("error").replaceChildren(makeError(error));
}

function showSnippets() {
  if (!byId("request").open) return;
  const all = texts();
  const note = all.length > MAX_TEXTS ? make("p", { class: "quiet" }, `With the first ${MAX_TEXTS} texts.`) : undefined;
  byId("snippets").replaceChildren(...(note ? [note] : []),
    ...snippets(all, { token: token(), whole: bySentence() }).map(([title, code]) => makeSnippet(title, code)));
}

// --- Events ---

byId("form").addEventListener("submit", (event) => {
  event.preventDefault();
  const empty = !file && !text.value.trim();
  if (empty && document.activeElement === byId("token")) text.focus(); // nothing to send yet
  else send();
});
byId("form").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
  event.preventDefault(); // on a button it would be a click too
  byId("form").requestSubmit();
});
text.addEventListener("input", showSnippets);
for (const choice of ["by-line", "by-sentence"]) {
  byId(choice).addEventListener("change", () => (showChoices(), showSnippets()));
}
byId("request").addEventListener("toggle", showSnippets);
byId("token").addEventListener("change", loadModel);
byId("stop").addEventListener("click", () => running?.abort());
byId("column").addEventListener("change", () => {
  file.column = Number(byId("column").value);
  showFile();
});
byId("file").addEventListener("change", (event) => {
  const [chosen] = event.target.files;
  event.target.value = ""; // the same file can be chosen again
  if (chosen) choose(chosen);
});
byId("file-remove").addEventListener("click", () => {
  file = undefined;
  reset();
  showFile();
  text.focus();
});
for (const type of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(type, (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    byId("form").classList.toggle("over", type === "dragover");
    if (type === "drop" && event.dataTransfer.files.length) choose(event.dataTransfer.files[0]);
  });
}

loadModel();
