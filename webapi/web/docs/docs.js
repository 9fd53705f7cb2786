// Shows /openapi.json: an index, each route with its fields, an example, and a form to send it. All text of the
// document goes in as text nodes, never as markup.

const byId = (id) => document.getElementById(id);

/** Makes an element: el("a", {href: "#x"}, "text", child). Children that are null are left out. */
function el(name, attrs, ...children) {
  const e = document.createElement(name);
  for (const [key, value] of Object.entries(attrs ?? {})) e.setAttribute(key, value);
  e.append(...children.filter((c) => c !== null && c !== undefined));
  return e;
}

/** Text with `code` in it, and blank lines between paragraphs. */
function prose(text) {
  return (text ?? "").split("\n\n").filter(Boolean).map((paragraph) => {
    const parts = paragraph.split("`");
    return el("p", null, ...parts.map((part, i) => (i % 2 ? el("code", null, part) : part)));
  });
}

class Reference {
  constructor(doc) {
    this.doc = doc;
  }

  resolve(schema) {
    if (!schema?.$ref) return schema ?? {};
    const name = schema.$ref.split("/").pop();
    return { ...this.doc.components.schemas[name], ...(schema.description && { description: schema.description }) };
  }

  /** A schema's type in words. */
  typeOf(schema) {
    const s = this.resolve(schema);
    if (s.oneOf) return s.oneOf.map((o) => (o.$ref ? o.$ref.split("/").pop() : this.typeOf(o))).join(" or ");
    if (s.type === "array") return `list of ${this.typeOf(s.items)}`;
    if (s.additionalProperties && !s.properties) return `object of ${this.typeOf(s.additionalProperties)}`;
    if (s.format === "base64") return "base64 string";
    return s.type ?? "any JSON";
  }

  /** A value that fits a schema. `deep` fills in fields that may be left out, too. */
  example(schema, deep, depth = 0) {
    const s = this.resolve(schema);
    if (s.examples) return s.examples[0];
    if (s.default !== undefined) return s.default;
    if (s.enum) return s.enum[0];
    if (s.oneOf) return this.example(s.oneOf[0], deep, depth);
    switch (s.type) {
      case "string": return s.format === "base64" ? "AAEC" : "text";
      case "integer": return s.minimum ?? 0;
      case "boolean": return false;
      case "array": return depth > 4 ? [] : [this.example(s.items, deep, depth + 1)];
      case "object": return this.exampleObject(s, deep, depth);
      default: return { text: "hello" };
    }
  }

  exampleObject(s, deep, depth) {
    const out = {};
    const props = s.properties ?? {};
    for (const [name, prop] of Object.entries(props)) {
      if (deep ? name !== "binary" : s.required?.includes(name) || name === "data") {
        out[name] = this.example(prop, deep, depth + 1);
      }
    }
    // Requests without required fields: show what they are mostly used for.
    if (!deep && Object.keys(out).length === 0) {
      const [name, prop] = Object.entries(props)[0] ?? [];
      for (const n of ["clientId", "add"]) if (props[n]) return { [n]: this.example(props[n], deep, depth + 1) };
      if (name && prop.type !== "boolean") out[name] = this.example(prop, deep, depth + 1);
    }
    return out;
  }

  fields(schema, depth = 0) {
    const s = this.resolve(schema);
    if (s.type === "array") return this.fields(s.items, depth);
    if (s.oneOf) {
      const parts = s.oneOf.filter((o) => o.$ref).map((o) => el("dd", null, el("strong", null, o.$ref.split("/").pop()), this.fields(o, depth + 1)));
      return parts.length ? el("dl", { class: "fields" }, ...parts) : null;
    }
    if (!s.properties || depth > 3) return null;
    const rows = Object.entries(s.properties).flatMap(([name, prop]) => [
      el("dt", null, el("code", null, name), " ", el("span", { class: "type" }, this.typeOf(prop)),
        s.required?.includes(name) ? el("span", { class: "required" }, " required") : null),
      el("dd", null, ...prose(this.resolve(prop).description), limits(this.resolve(prop)), this.fields(prop, depth + 1)),
    ]);
    return el("dl", { class: "fields" }, ...rows);
  }
}

/** A schema's bounds in words, or null. */
function limits(s) {
  const parts = [];
  if (s.enum) parts.push(`one of ${s.enum.join(", ")}`);
  if (s.minimum !== undefined) parts.push(`from ${s.minimum}`);
  if (s.maximum !== undefined) parts.push(`to ${s.maximum}`);
  if (s.maxLength) parts.push(`up to ${s.maxLength} bytes`);
  if (s.maxItems) parts.push(`up to ${s.maxItems} entries`);
  if (s.default !== undefined) parts.push(`default ${s.default}`);
  return parts.length ? el("p", { class: "type" }, parts.join(", ")) : null;
}

const bodyOf = (part) => Object.values(part?.content ?? {})[0]?.schema;

/** One route as a fold-out. */
function route(ref, method, path, op) {
  const request = bodyOf(op.requestBody);
  const success = Object.entries(op.responses).find(([status]) => status.startsWith("2"));
  const answer = bodyOf(success?.[1]);
  const problems = Object.keys(op.responses).filter((status) => !status.startsWith("2"));
  const params = op.parameters ?? [];
  const body = el("div", { class: "body" }, ...prose(op.description));
  if (params.length) {
    body.append(el("h3", null, "Parameters"), el("dl", { class: "fields" }, ...params.flatMap((p) => [
      el("dt", null, el("code", null, p.name), " ", el("span", { class: "type" }, `${ref.typeOf(p.schema)} in the ${p.in}`)),
      el("dd", null, ...prose(p.description), limits(p.schema)),
    ])));
  }
  if (request) body.append(el("h3", null, "Body"), ref.fields(request) ?? "");
  body.append(el("h3", null, `Answer ${success[0]}`));
  if (answer) body.append(ref.fields(answer) ?? "", el("pre", null, JSON.stringify(ref.example(answer, true), null, 2)));
  else body.append(el("p", null, "No content."));
  body.append(el("p", { class: "type" }, `Problems: ${problems.join(", ")}`), tryOut(ref, method, path, params, request));
  return el("details", { class: "route", id: op.operationId },
    el("summary", null, el("span", { class: `method ${method}` }, method.toUpperCase()),
      el("span", { class: "path" }, path), el("span", null, op.summary)),
    body);
}

/** A form that sends the request from this page. */
function tryOut(ref, method, path, params, request) {
  const form = el("form", null, el("h3", null, "Send a request"));
  const inputs = params.map((p) => {
    const input = el("input", { type: "text", autocomplete: "off", ...(p.required && { required: "" }) });
    form.append(el("label", null, `${p.name} (${p.in})`, input));
    return { ...p, input };
  });
  let text = null;
  if (request) {
    text = el("textarea", { spellcheck: "false" });
    text.value = JSON.stringify(ref.example(request, false), null, 2);
    form.append(el("label", null, "Body", text));
  }
  const button = el("button", { type: "submit" }, `Send ${method.toUpperCase()}`);
  const stop = el("button", { type: "button" }, "Stop"); // an event stream has no end
  stop.hidden = true;
  const out = el("pre", { role: "status" });
  out.hidden = true;
  form.append(button, " ", stop, out);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    button.disabled = true;
    out.hidden = stop.hidden = false;
    const stopping = new AbortController();
    stop.onclick = () => stopping.abort();
    await send(method, path, inputs, text?.value, stopping.signal, (answer) => { out.textContent = answer; });
    button.disabled = false;
    stop.hidden = true;
  });
  return form;
}

/** Sends the request and shows the answer, as much of it as has come. */
async function send(method, path, inputs, body, signal, show) {
  const query = new URLSearchParams();
  for (const { name, in: where, input } of inputs) {
    if (where === "path") path = path.replace(`{${name}}`, encodeURIComponent(input.value));
    else if (input.value !== "") query.set(name, input.value);
  }
  const headers = {};
  if (byId("key").value) headers.Authorization = `Bearer ${byId("key").value}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let answer = "";
  show(answer);
  try {
    const response = await fetch(path + (query.size ? `?${query}` : ""), { method: method.toUpperCase(), headers, body, signal });
    const head = `${response.status} ${response.statusText}\n`;
    show(answer = head);
    const text = await read(response, (part) => show(answer = head + part));
    show(head + pretty(text));
  } catch (error) {
    show(signal.aborted ? `${answer}Stopped.` : `${answer}No answer: ${error.message}`);
  }
}

const MOST_EVENTS = 100_000; // characters of an event stream that stay, the last ones

/** Reads the body and shows what has come until now. */
async function read(response, show) {
  if (!response.body) return "";
  const most = response.headers.get("Content-Type")?.startsWith("text/event-stream") ? MOST_EVENTS : Infinity;
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return text;
    text = (text + value).slice(-most);
    show(text);
  }
}

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

function show(doc) {
  const ref = new Reference(doc);
  const tags = new Map();
  for (const [path, methods] of Object.entries(doc.paths)) {
    for (const [method, op] of Object.entries(methods)) {
      const tag = op.tags[0];
      tags.set(tag, [...(tags.get(tag) ?? []), { method, path, op }]);
    }
  }
  byId("about").replaceChildren(...prose(doc.info.description));
  const order = ["Connecting", "Sending", "Groups", "Clients", "History", "Cluster"];
  const names = [...tags.keys()].sort((a, b) => (order.indexOf(a) + 99) % 99 - (order.indexOf(b) + 99) % 99);
  byId("routes").replaceChildren(...names.flatMap((tag) => [
    el("h2", null, tag), ...tags.get(tag).map(({ method, path, op }) => route(ref, method, path, op)),
  ]));
  byId("index").replaceChildren(...names.flatMap((tag) => [
    el("h2", null, tag),
    el("ul", null, ...tags.get(tag).map(({ method, path, op }) => {
      const link = el("a", { href: `#${op.operationId}`, title: `${method.toUpperCase()} ${path}` }, op.summary);
      return el("li", { "data-text": `${method} ${path} ${op.summary} ${tag}`.toLowerCase() }, link);
    })),
  ]));
  byId("filter").addEventListener("input", filter);
  addEventListener("hashchange", open);
  byId("index").addEventListener("click", ({ target }) => { // no change, and yet the route may be folded by now
    if (target instanceof HTMLAnchorElement && target.hash === location.hash) open();
  });
  open();
}

/** Hides what does not contain the words that are looked for. */
function filter() {
  const words = byId("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const li of document.querySelectorAll("#index li")) {
    const hit = words.every((w) => li.dataset.text.includes(w));
    li.hidden = !hit;
    const id = li.firstChild.hash.slice(1);
    byId(id).hidden = !hit;
  }
}

/** Unfolds the route that the address names. */
function open() {
  const target = byId(location.hash.slice(1));
  if (target instanceof HTMLDetailsElement) {
    target.open = true;
    target.scrollIntoView();
  }
}

try {
  const response = await fetch("/openapi.json");
  if (!response.ok) throw new Error(`${response.status} ${response.statusText}`);
  show(await response.json());
} catch (error) {
  byId("routes").replaceChildren(el("p", { class: "notice", role: "alert" }, `The document could not be loaded: ${error.message}`));
}
