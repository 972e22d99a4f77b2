// Draws the API's description. Everything goes in as text, never as HTML.
"use strict";

const methods = ["get", "post", "put", "patch", "delete"];

function el(tag, props, ...children) {
  const e = document.createElement(tag);
  for (const [k, v] of Object.entries(props || {})) e[k] = v;
  for (const c of children) if (c !== null && c !== undefined) e.append(c);
  return e;
}

// kind words a schema in a line: run it down only by name, the page has an entry for each.
function kind(schema) {
  if (!schema) return "";
  if (schema.$ref) return schema.$ref.split("/").pop();
  const any = schema.anyOf || schema.oneOf;
  if (any) return any.map(kind).join(" or ");
  let type = [].concat(schema.type || "any").join(" or ");
  if (schema.items) type = "list of " + kind(schema.items);
  if (schema.additionalProperties && schema.additionalProperties !== true)
    type = "object of " + kind(schema.additionalProperties);
  if (schema.enum) type += ": " + schema.enum.map((v) => JSON.stringify(v)).join(", ");
  if (schema.format) type += " (" + schema.format + ")";
  return type;
}

function table(head, rows) {
  if (!rows.length) return null;
  return el("table", {}, el("tr", {}, ...head.map((h) => el("th", { textContent: h }))),
    ...rows.map((r) => el("tr", {}, ...r.map((c) => el("td", { textContent: c || "" })))));
}

function fields(schema) {
  const required = new Set(schema.required || []);
  return table(["field", "type", "what"], Object.entries(schema.properties || {})
    .map(([name, s]) => [name + (required.has(name) ? " *" : ""), kind(s), s.description]));
}

function content(c) {
  return Object.entries(c || {}).map(([type, m]) => type + ": " + kind(m.schema)).join("; ");
}

function operation(path, method, op) {
  const params = (op.parameters || []).map((p) =>
    [p.name + (p.required ? " *" : ""), p.in, kind(p.schema), p.description || (p.schema || {}).description]);
  const answers = Object.entries(op.responses || {}).map(([code, r]) => [code, r.description, content(r.content)]);
  const name = method.toUpperCase();
  const d = el("details", { id: op.operationId },
    el("summary", {}, el("span", { className: "method " + name, textContent: name }),
      el("span", { className: "path", textContent: path }), el("span", { className: "what", textContent: op.summary || "" })),
    el("div", { className: "body" },
      op.description ? el("p", { className: "about", textContent: op.description }) : null,
      params.length ? el("h4", { textContent: "Parameters" }) : null,
      table(["name", "in", "type", "what"], params),
      op.requestBody ? el("h4", { textContent: "Body" }) : null,
      op.requestBody ? el("p", { textContent: content(op.requestBody.content) }) : null,
      el("h4", { textContent: "Answers" }), table(["status", "what", "content"], answers)));
  d.dataset.words = [name, path, op.summary, op.operationId, ...(op.tags || [])].join(" ").toLowerCase();
  return d;
}

function draw(doc) {
  document.getElementById("title").textContent = doc.info.title + " " + doc.info.version;
  document.getElementById("about").textContent = doc.info.description || "";
  const main = document.getElementById("main");
  for (const tag of doc.tags || []) {
    const ops = [];
    for (const [path, item] of Object.entries(doc.paths))
      for (const m of methods)
        if (item[m] && (item[m].tags || [])[0] === tag.name) ops.push(operation(path, m, item[m]));
    if (ops.length) main.append(el("h2", { textContent: tag.name }),
      el("p", { textContent: tag.description || "" }), ...ops);
  }
  main.append(el("h2", { textContent: "types" }));
  for (const [name, schema] of Object.entries(doc.components.schemas)) {
    const d = el("details", { id: "type-" + name }, el("summary", {}, el("span", { className: "path", textContent: name })),
      el("div", { className: "body" }, fields(schema) || kind(schema)));
    d.dataset.words = "types " + name.toLowerCase();
    main.append(d);
  }
}

document.getElementById("filter").addEventListener("input", (e) => {
  const words = e.target.value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const d of document.querySelectorAll("details"))
    d.hidden = !words.every((w) => d.dataset.words.includes(w));
});

fetch("/openapi.json").then((r) => r.json()).then(draw).catch((err) => {
  document.getElementById("main").textContent = "openapi.json could not be read: " + err;
});
