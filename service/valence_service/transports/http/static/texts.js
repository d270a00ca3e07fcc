// Files to texts.

const MAX_FILE_BYTES = 32 << 20;
const TEXT_COLUMNS = ["text", "body", "review", "comment", "content", "message", "sentence"];

/** A file that holds no texts in a form that the page reads. The message is for the user. */
export class FileError extends Error {}

/** Return the lines that are not blank. */
export function lines(content) {
  return content.split(/\r\n|\n|\r/).filter((line) => line.trim());
}

/** Return what a file holds: its texts, or for a table its columns and rows. Throw FileError. */
export async function readFile(file) {
  if (file.size > MAX_FILE_BYTES) {
    throw new FileError(`${file.name} has more than 32 MiB: use the command \`valence classify --file\`.`);
  }
  let content;
  try {
    content = new TextDecoder("utf-8", { fatal: true }).decode(await file.arrayBuffer());
  } catch {
    throw new FileError(`${file.name} is not text in UTF-8: save it in UTF-8.`);
  }
  const extension = file.name.toLowerCase().split(".").pop();
  if (extension === "csv" || extension === "tsv") return table(content, file.name);
  const texts = extension === "ndjson" || extension === "jsonl" ? jsonLines(content, file.name) : lines(content);
  if (!texts.length) throw new FileError(`${file.name} holds no text.`);
  return { texts };
}

function jsonLines(content, name) {
  const texts = [];
  content.split("\n").forEach((line, index) => {
    if (!line.trim()) return;
    let value;
    try {
      value = JSON.parse(line);
    } catch {
      throw new FileError(`${name}, line ${index + 1}: this is not JSON.`);
    }
    const text = typeof value === "string" ? value : value?.text;
    if (typeof text !== "string") {
      throw new FileError(`${name}, line ${index + 1}: this is neither a string nor an object with a "text".`);
    }
    texts.push(text);
  });
  return texts;
}

function table(content, name) {
  const head = content.slice(0, content.search(/[\r\n]|$/));
  const delimiter = [",", "\t", ";"].reduce((a, b) => (head.split(b).length > head.split(a).length ? b : a));
  const [header, ...rows] = parseTable(content, delimiter, name);
  if (!rows.length) throw new FileError(`${name} holds no row below its header.`);
  const columns = header.map((title, index) => title.trim() || `column ${index + 1}`);
  const named = columns.findIndex((title) => TEXT_COLUMNS.includes(title.toLowerCase()));
  return { columns, rows, column: named >= 0 ? named : longest(columns.length, rows) };
}

/** Return the column with the most characters. */
function longest(count, rows) {
  const sizes = Array.from({ length: count }, (_, i) => rows.reduce((sum, row) => sum + (row[i] ?? "").length, 0));
  return sizes.indexOf(Math.max(...sizes));
}

/** Parse CSV after RFC 4180: quoted values may hold delimiters, line breaks and doubled quotes. */
function parseTable(content, delimiter, name) {
  const rows = [];
  let row = [];
  let at = 0;
  const endRow = () => {
    if (row.length > 1 || row[0]) rows.push(row); // a blank line is no row
    row = [];
  };
  while (at < content.length) {
    let value = "";
    if (content[at] === '"') {
      for (;;) {
        const end = content.indexOf('"', at + 1);
        if (end < 0) throw new FileError(`${name}, row ${rows.length + 1}: a quote is not closed.`);
        value += content.slice(at + 1, end);
        at = end + 1;
        if (content[at] !== '"') break;
        value += '"';
      }
    }
    const begin = at;
    while (at < content.length && content[at] !== delimiter && content[at] !== "\n" && content[at] !== "\r") at++;
    row.push(value + content.slice(begin, at));
    if (content[at] === delimiter) {
      at++;
      if (at === content.length) row.push("");
      continue;
    }
    if (content[at] === "\r" && content[at + 1] === "\n") at++;
    at++;
    endRow();
  }
  if (row.length) endRow();
  return rows;
}
