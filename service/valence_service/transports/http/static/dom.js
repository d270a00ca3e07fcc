// Elements made of data: text is set as text, never as HTML.

const SVG = "http://www.w3.org/2000/svg";

export const byId = (id) => document.getElementById(id);

/** Make an element: attributes, custom properties ("--at"), and children that are nodes or text. */
export function make(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

/** Make an element of SVG. */
export function makeSvg(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

function fill(element, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("--")) element.style.setProperty(key, value);
    else if (value === true) element.setAttribute(key, "");
    else if (value !== undefined && value !== false) element.setAttribute(key, value);
  }
  element.append(...children.filter((child) => child !== undefined && child !== null));
  return element;
}

/** Make code with a button that copies it. */
export function makeSnippet(title, code) {
  const copy = make("button", { type: "button", class: "small", "aria-label": `Copy ${title}` }, "Copy");
  copy.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(code);
      copy.textContent = "Copied";
    } catch {
      // Browsers give the clipboard to pages of HTTPS and of this machine alone.
      getSelection().selectAllChildren(pre);
      copy.textContent = "Selected";
    }
  });
  const pre = make("pre", { tabindex: "0", "aria-label": title }, make("code", {}, code));
  return make("div", { class: "snippet" }, make("div", { class: "snippet-head" }, make("h3", {}, title), copy), pre);
}
