// Answers to elements.

import { seconds } from "./api.js";
import { make, makeSvg } from "./dom.js";

const MAX_ROWS = 500;
const BINS = 20;
const ABSENT = "–";

/** Return the side of a polarity or a valence as the name of a class. */
function side(value) {
  if (typeof value === "number") return value > 0 ? "positive" : value < 0 ? "negative" : "neutral";
  return (value ?? "").replace("POLARITY_", "").toLowerCase() || "unspecified";
}

function signed(value) {
  return `${value > 0 ? "+" : value < 0 ? "−" : ""}${Math.abs(value).toFixed(2)}`;
}

/** Return seconds as milliseconds for people. */
export function milliseconds(value) {
  return value < 0.001 ? "under 1 ms" : `${Math.round(value * 1e3)} ms`;
}

function tokens({ tokensUsed = 0, tokensTotal = 0 }) {
  return tokensUsed === tokensTotal ? `${tokensUsed}` : `${tokensUsed} of ${tokensTotal}`;
}

function facts(pairs) {
  const known = pairs.filter(([, value]) => value !== undefined);
  return make("dl", { class: "facts" }, ...known.map(([term, value]) => make("div", {}, make("dt", {}, term), make("dd", {}, `${value}`))));
}

/** Make the card of one answer. */
export function makeAnswer({ sentiment, timings = {} }, model) {
  const polarity = side(sentiment.polarity);
  const valences = new Map(model.labels?.map((label) => [label.name, label.valence]));
  const head = make("div", { class: "answer-head" },
    make("h2", { class: `answer-label ${polarity}` }, sentiment.label ?? ""),
    make("p", { class: "answer-score number" }, make("span", { class: "quiet" }, "score "), make("strong", {}, (sentiment.score ?? 0).toFixed(3))));
  const card = make("div", { class: "card" }, head);
  if (sentiment.valence !== undefined) card.append(makeScale(sentiment.valence));
  // A regression's score is no share of one.
  const shares = (sentiment.scores ?? []).every(({ score = 0 }) => score >= 0 && score <= 1);
  card.append(make("ul", { class: "bars", "aria-label": "Scores of all labels" }, ...(sentiment.scores ?? []).map(({ label, score = 0 }) =>
    make("li", {}, make("span", {}, label),
      make("span", { class: "bar" }, make("i", { class: side(valences.get(label)), "--share": shares ? `${score * 100}%` : "0" })),
      make("span", { class: "number" }, score.toFixed(3))))));
  card.append(facts([
    ["Tokens read", `${sentiment.tokensUsed ?? 0} of ${sentiment.tokensTotal ?? 0}`],
    ["Whole text read", sentiment.truncated ? "no, it was truncated" : "yes"],
    ["Unknown tokens", sentiment.tokensUnknown],
    ["Layers computed", sentiment.layersUsed && (model.layers ? `${sentiment.layersUsed} of ${model.layers}` : sentiment.layersUsed)],
    ["Waited", timings.queueDuration && milliseconds(seconds(timings.queueDuration))],
    ["Computed", timings.inferenceDuration && milliseconds(seconds(timings.inferenceDuration))],
  ]));
  return card;
}

/** Make the text of a document, its sentences in colour. Each tells its score to whoever points at it. */
export function makeDocument({ sentences = [], mixed, windows = 0 }, text) {
  const parts = [];
  let at = 0;
  for (const { begin = 0, end = 0, sentiment } of sentences) {
    const { label = "", score = 0, polarity, valence } = sentiment;
    const told = `${label} ${score.toFixed(3)}${valence === undefined ? "" : `, valence ${signed(valence)}`}`;
    parts.push(text.slice(at, begin), make("span", {
      class: `sentence ${side(polarity)}`, tabindex: "0", title: told, "aria-description": told,
      "--strength": `${Math.round(Math.abs(valence ?? 0) * 40)}%`,
    }, text.slice(begin, end)));
    at = end;
  }
  const card = make("div", { class: "card" }, make("h2", {}, "Each sentence"),
    make("p", { class: "document" }, ...parts, text.slice(at)));
  card.append(facts([["Sentences", sentences.length], ["Mixed", mixed?.toFixed(2)], ["Windows read", windows]]));
  return card;
}

function makeScale(valence) {
  const label = `Valence ${signed(valence)} on a scale from −1, negative, to 1, positive`;
  return make("div", { class: "scale" },
    make("div", { class: "scale-track", role: "img", "aria-label": label },
      make("span", { class: "scale-dot", "--at": `${(valence + 1) * 50}%` })),
    make("div", { class: "scale-ends", "aria-hidden": "true" },
      make("span", {}, "−1 negative"),
      make("strong", { class: `number ${side(valence)}` }, `valence ${signed(valence)}`),
      make("span", {}, "positive 1")));
}

/** Make the counts, the histogram and the table of several rows: index, text, sentiment or error. */
export function makeSummary(rows) {
  const answered = rows.filter((row) => row.sentiment);
  const valences = answered.map((row) => row.sentiment.valence).filter((valence) => valence !== undefined);
  const card = make("div", { class: "card" }, makeCounts(rows, answered, valences));
  if (valences.length) card.append(makeHistogram(valences));
  return card;
}

function makeCounts(rows, answered, valences) {
  const counts = new Map();
  for (const row of answered) counts.set(row.sentiment.label, (counts.get(row.sentiment.label) ?? 0) + 1);
  const pairs = [...counts].sort((a, b) => b[1] - a[1]).slice(0, 6);
  if (rows.length > answered.length) pairs.push(["without an answer", rows.length - answered.length]);
  if (valences.length) pairs.push(["mean valence", signed(valences.reduce((a, b) => a + b, 0) / valences.length)]);
  return make("dl", { class: "counts" }, ...pairs.map(([term, value]) => make("div", {}, make("dt", {}, term), make("dd", {}, `${value}`))));
}

function makeHistogram(valences) {
  const counts = new Array(BINS).fill(0);
  for (const valence of valences) counts[Math.min(BINS - 1, Math.floor(((valence + 1) / 2) * BINS))]++;
  const most = Math.max(...counts);
  const [width, height, gap] = [1000 / BINS, 120, 6];
  const bounds = (bin) => `${signed((bin * 2) / BINS - 1)} to ${signed(((bin + 1) * 2) / BINS - 1)}`;
  const words = counts.flatMap((count, bin) => (count ? [`${count} from ${bounds(bin)}`] : []));
  const bars = counts.map((count, bin) => {
    const tall = (count / most) * height;
    return makeSvg("rect", {
      class: bin < BINS / 2 ? "negative" : "positive", rx: 3,
      x: bin * width + gap / 2, width: width - gap, y: height - tall, height: tall,
    }, makeSvg("title", {}, `${count} from ${bounds(bin)}`));
  });
  const svg = makeSvg("svg", { class: "histogram", viewBox: `0 0 1000 ${height}`, preserveAspectRatio: "none", role: "img", "aria-label": `Texts by valence: ${words.join(", ")}` },
    ...bars, makeSvg("line", { x1: 0, x2: 1000, y1: height, y2: height }));
  return make("figure", {}, make("figcaption", {}, "Texts by valence"), svg,
    make("div", { class: "scale-ends", "aria-hidden": "true" }, make("span", {}, "−1 negative"), make("span", {}, "0"), make("span", {}, "positive 1")));
}

const COLUMNS = [
  { title: "#", key: (row) => row.index, optional: true },
  { title: "Text", key: (row) => row.text },
  { title: "Label", key: (row) => row.sentiment?.label ?? "" },
  { title: "Valence", key: (row) => row.sentiment?.valence ?? Number.NEGATIVE_INFINITY },
  { title: "Tokens", key: (row) => row.sentiment?.tokensTotal ?? 0, optional: true },
];

/** Make the table of the rows, sorted by a click on a column's title. */
export function makeTable(rows) {
  const body = make("tbody");
  const show = (sorted) => body.replaceChildren(...sorted.slice(0, MAX_ROWS).map(makeRow));
  const heads = COLUMNS.map(({ title, key, optional }) => {
    const button = make("button", { type: "button" }, title);
    const head = make("th", { scope: "col", class: optional && "optional" }, button);
    button.addEventListener("click", () => {
      const ascending = head.getAttribute("aria-sort") !== "ascending";
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
      const order = (a, b) => (key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : a.index - b.index);
      const sorted = [...rows].sort(order);
      show(ascending ? sorted : sorted.reverse());
    });
    return head;
  });
  heads[0].setAttribute("aria-sort", "ascending");
  show(rows);
  const download = make("button", { type: "button", class: "small" }, "Download as CSV");
  download.addEventListener("click", () => saveCsv(rows));
  const note = rows.length > MAX_ROWS ? make("p", { class: "quiet" }, `The table shows ${MAX_ROWS} rows, the download has all.`) : undefined;
  return make("div", { class: "card" },
    make("div", { class: "table-head" }, make("h2", {}, `${rows.length} texts`), download), note,
    make("div", { class: "table-wrap", role: "region", "aria-label": "Answers", tabindex: "0" },
      make("table", {}, make("thead", {}, make("tr", {}, ...heads)), body)));
}

function makeRow({ index, text, sentiment, error }) {
  const cells = [make("td", { class: "quiet optional" }, `${index + 1}`), make("td", { class: "text" }, make("div", {}, text))];
  if (error) {
    const told = error.violation?.description ?? error.message;
    return make("tr", {}, ...cells, make("td", { colspan: 3 }, make("span", { class: "negative" }, `${error.code}: `), told));
  }
  const label = make("td", { class: "label" }, make("span", { class: side(sentiment.polarity) }, sentiment.label ?? ""), make("small", {}, (sentiment.score ?? 0).toFixed(3)));
  const { valence } = sentiment;
  const cell = make("td", { class: "valence" });
  if (valence === undefined) cell.append(ABSENT);
  else {
    const [from, share] = [Math.min(0, valence), Math.abs(valence)];
    cell.append(make("span", { class: "mini", "aria-hidden": "true" }, make("i", { class: side(valence), "--from": `${(from + 1) * 50}%`, "--share": `${share * 50}%` })), signed(valence));
  }
  return make("tr", {}, ...cells, label, cell, make("td", { class: "optional" }, tokens(sentiment)));
}

function saveCsv(rows) {
  const header = ["text", "label", "score", "valence", "tokens_total", "tokens_used", "error"];
  const table = rows.map(({ text, sentiment: s, error }) =>
    s ? [text, s.label, s.score ?? 0, s.valence ?? "", s.tokensTotal ?? 0, s.tokensUsed ?? 0, ""] : [text, "", "", "", "", "", error.message]);
  const lines = [header, ...table].map((row) => row.map((value) => `"${`${value}`.replaceAll('"', '""')}"`).join(","));
  const url = URL.createObjectURL(new Blob([`${lines.join("\r\n")}\r\n`], { type: "text/csv" }));
  make("a", { href: url, download: "sentiments.csv" }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

/** Make the card of an error. */
export function makeError(error) {
  const { code, status, message, violation, reason, retrySeconds, incident, requestId } = error;
  const known = code !== undefined;
  return make("div", { class: "card fault" },
    make("h2", {}, known ? `No answer: ${code}` : "This file cannot be read"),
    make("p", {}, message),
    known ? facts([
      ["Field", violation?.field], ["Reason", reason],
      ["Retry", retrySeconds === undefined ? undefined : `in ${Math.max(1, Math.ceil(retrySeconds))} s`],
      ["HTTP status", status], ["Log entry", incident], ["Request id", requestId ?? undefined],
    ]) : undefined);
}
