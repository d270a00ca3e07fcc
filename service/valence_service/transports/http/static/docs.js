// The OpenAPI document as a page: its operations, then its schemas.

import { byId, make, makeSnippet } from "./dom.js";

let api;

/** Follow a reference; other values are returned as they are. */
function follow(value) {
  if (!value.$ref) return value;
  return value.$ref.slice(2).split("/").reduce((part, name) => part[name], api);
}

const nameOf = (reference) => reference.split("/").pop();
const anchorOf = (schema) => `schema-${nameOf(schema.$ref)}`;

/** Make Markdown's few forms that the document has: paragraphs, lists, blocks and spans of code. */
function prose(markdown = "") {
  const blocks = markdown.trim().split(/\n{2,}(?=(?:[^`]|`(?!``))*(?:```[^]*?```[^]*?)*$)/);
  return make("div", { class: "prose" }, ...blocks.filter(Boolean).map((block) => {
    if (block.startsWith("```")) return make("pre", { tabindex: "0" }, make("code", {}, block.replace(/^```\n|\n```$/g, "")));
    if (block.startsWith("- ")) return make("ul", {}, ...block.split(/\n(?=- )/).map((item) => make("li", {}, ...spans(item.slice(2)))));
    return make("p", {}, ...spans(block));
  }));
}

function spans(text) {
  return text.split("`").map((part, index) => (index % 2 ? make("code", {}, part) : part));
}

/** Name the type of a schema, with links to the schemas that it refers to. */
function typeOf(schema) {
  if (schema.$ref) return [make("a", { href: `#${anchorOf(schema)}` }, nameOf(schema.$ref))];
  if (schema.contentSchema) return ["lines of ", ...typeOf(schema.contentSchema)];
  if (schema.oneOf) return schema.oneOf.flatMap((one, index) => (index ? [" or ", ...typeOf(one)] : typeOf(one)));
  if (schema.type === "array") return ["array of ", ...typeOf(schema.items)];
  if ("const" in schema) return [make("code", {}, JSON.stringify(schema.const))];
  return [[schema.type ?? "string"].flat().join(" or ")];
}

function table(heads, rows) {
  return make("div", { class: "table-wrap" }, make("table", {},
    make("thead", {}, make("tr", {}, ...heads.map((head) => make("th", { scope: "col" }, head)))),
    make("tbody", {}, ...rows)));
}

function row(name, type, description, required) {
  const note = required ? make("small", {}, "required") : undefined;
  return make("tr", {}, make("td", { class: "name" }, name, note), make("td", {}, ...type), make("td", { class: "told" }, prose(description)));
}

/** Make the table of an object's fields; of another schema its type. */
function fields(schema) {
  if (!schema.properties) return make("p", {}, ...typeOf(schema));
  const required = schema.required ?? [];
  return table(["Field", "Type", "Meaning"], Object.entries(schema.properties).map(([name, field]) =>
    row(name, typeOf(field), field.description, required.includes(name))));
}

/** Make a call's example as a command. */
function curl(verb, path, operation) {
  const [[type, body]] = Object.entries(operation.requestBody?.content ?? { "": {} });
  const url = new URL(`.${path}`, location.href).href.replace("%7Bname%7D", "NAME");
  if (!type) return `curl '${url}'`;
  const example = typeof body.example === "string" ? body.example.trimEnd() : JSON.stringify(body.example);
  return `curl '${url}' \\\n  -H 'content-type: ${type}' \\\n  --data-binary '${example}'`;
}

function makeOperation(verb, path, operation) {
  const id = `call-${operation.operationId}`;
  const section = make("section", { class: "card", id, "aria-label": `${verb.toUpperCase()} ${path}` },
    make("h2", { class: "path" }, make("span", { class: "verb" }, verb.toUpperCase()), make("span", {}, path)),
    make("p", {}, operation.summary), prose(operation.description));
  const parameters = (operation.parameters ?? []).map(follow);
  const [body] = Object.values(operation.requestBody?.content ?? {});
  if (body) {
    const schema = follow(body.schema);
    section.append(make("h3", {}, "Request"), schema === body.schema ? fields(schema) : make("p", {}, ...typeOf(body.schema)));
    if (schema !== body.schema) section.append(fields(schema));
  }
  if (parameters.length) {
    section.append(make("h3", {}, "Parameters"), table(["Name", "In", "Meaning"], parameters.map((p) => row(p.name, [p.in], p.description, p.required))));
  }
  section.append(make("h3", {}, "Responses"), table(["Status", "Body", "Meaning"], Object.entries(operation.responses).map(([status, reference]) => {
    const response = follow(reference);
    const types = Object.values(response.content ?? {}).map(({ schema }) => typeOf(schema));
    return row(status, types.flatMap((type, index) => (index ? [" or ", ...type] : type)), response.description);
  })));
  section.append(makeSnippet("Example", curl(verb, path, operation)));
  return section;
}

function makeSchema(name, schema) {
  return make("section", { class: "card", id: `schema-${name}`, "aria-label": name },
    make("h2", { class: "path" }, name), prose(schema.description), fields(schema));
}

function list(title, links) {
  const items = links.map(([href, words]) => make("li", {}, make("a", { href: `#${href}` }, words)));
  return [make("h2", {}, title), make("ul", {}, ...items)];
}

async function show() {
  const response = await fetch("openapi.json");
  if (!response.ok) throw new Error(`HTTP status ${response.status}`);
  api = await response.json();
  byId("title").textContent = `${api.info.title} API`;
  byId("summary").textContent = `${api.info.summary} Version ${api.info.version}.`;
  const operations = Object.entries(api.paths).flatMap(([path, verbs]) =>
    Object.entries(verbs).map(([verb, operation]) => ({ verb, path, operation })));
  const schemas = Object.entries(api.components.schemas);
  byId("contents").replaceChildren(
    ...api.tags.flatMap(({ name }) => list(name, operations.filter(({ operation }) => operation.tags.includes(name))
      .map(({ path, operation }) => [`call-${operation.operationId}`, path.replace(/^\/valence.*\//, "")]))),
    ...list("Schemas", schemas.map(([name]) => [`schema-${name}`, name])));
  byId("body").replaceChildren(
    make("section", { class: "card", "aria-label": "Introduction" }, prose(api.info.description)),
    ...operations.map(({ verb, path, operation }) => makeOperation(verb, path, operation)),
    ...schemas.map(([name, schema]) => makeSchema(name, schema)));
  if (location.hash) document.querySelector(location.hash)?.scrollIntoView();
}

show().catch((error) => {
  byId("summary").textContent = `openapi.json cannot be read: ${error.message}`;
});
