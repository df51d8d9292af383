// The API's documentation, made from openapi.json.

import { at, el } from "./dom.js";

const schema = await (await fetch("/openapi.json")).json();

const operations = Object.entries(schema.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({ path, method, ...operation })),
);
at("operations").replaceChildren(
  el("p", {}, schema.info.description),
  el("p", { class: "hint" }, "If the server was started with a token, requests carry the header ", el("code", {}, "Authorization: Bearer TOKEN"), ". Errors are ", el("code", {}, '{"error": {"code": …, "message": …}}'), ", with 409 also the state."),
  ...operations.map(card),
);

function card({ path, method, description, summary, parameters = [], requestBody, responses }) {
  const rows = [
    ...parameters.map(({ name, in: location, required, schema: type, description: text }) => [name, `${location}${required ? ", required" : ""}`, kind(type), text ?? ""]),
    ...body(requestBody),
  ];
  return el(
    "section",
    { class: "card operation", "aria-label": `${method} ${path}` },
    el("h2", {}, el("span", { class: "method" }, method.toUpperCase()), path),
    el("p", {}, description ?? summary),
    ...(rows.length ? [table(["name", "in", "type", ""], rows)] : []),
    el("p", {}, ...Object.entries(responses).filter(([status]) => status < 400).map(([status, answer]) => `Answer ${status}: ${contents(answer.content)}. `)),
    el("p", { class: "hint" }, `Errors: ${Object.keys(responses).filter((status) => status >= 400).join(", ")}.`),
  );
}

function body(request) {
  if (!request) return [];
  return Object.entries(request.content).flatMap(([mediaType, { schema: type }]) => {
    const { properties = {}, required = [] } = resolve(type);
    return Object.entries(properties).map(([name, property]) => [name, `${mediaType}${required.includes(name) ? ", required" : ""}`, kind(property), property.description ?? ""]);
  });
}

function contents(content = {}) {
  return Object.entries(content).map(([mediaType, { schema: type }]) => (mediaType === "application/json" ? kind(type) : mediaType)).join(", ");
}

function kind(type = {}) {
  if (type.$ref) return type.$ref.split("/").pop();
  if (type.anyOf) return type.anyOf.map(kind).join(" or ");
  if (type.type === "array") return `list of ${kind(type.items)}`;
  return type.contentMediaType || type.format === "binary" ? "file" : (type.type ?? "");
}

function resolve(type = {}) {
  return type.$ref ? schema.components.schemas[type.$ref.split("/").pop()] : type;
}

function table(head, rows) {
  const cells = (values, tag) => el("tr", {}, ...values.map((value) => el(tag, {}, value)));
  return el("table", {}, el("thead", {}, cells(head, "th")), el("tbody", {}, ...rows.map((row) => cells(row, "td"))));
}
