// A plugin of protobuf-es that generates TypeScript types of the gateway's JSON, and its routes.
//
// The JSON types of protobuf-es use lowerCamelCase and make every field optional. The gateway uses the contract's field
// names and always sends fields without presence, so they are not optional in a response; in a request only the fields
// that the contract requires are not optional. So one message may become two types: `Purchase` in a response and
// `PurchaseInput` in a request.
// @ts-check
import { getOption, hasOption, ScalarType } from "@bufbuild/protobuf";
import { createEcmaScriptPlugin, getComments } from "@bufbuild/protoplugin";

/** @typedef {import("@bufbuild/protobuf").DescMessage} DescMessage */
/** @typedef {import("@bufbuild/protobuf").DescEnum} DescEnum */
/** @typedef {import("@bufbuild/protobuf").DescField} DescField */
/** @typedef {import("@bufbuild/protobuf").DescMethod} DescMethod */
/** @typedef {import("@bufbuild/protobuf").DescExtension} DescExtension */
/** @typedef {import("@bufbuild/protoplugin").Schema} Schema */
/** @typedef {{method: DescMethod, verb: string, path: string, request: DescMessage, response: DescMessage}} Route */

const REQUIRED = 2; // google.api.FieldBehavior.REQUIRED

export const restPlugin = createEcmaScriptPlugin({ name: "rest-plugin", version: "v1", generateTs });

/** @param {Schema} schema */
function generateTs(schema) {
  const http = extension(schema, "google.api.http");
  const behavior = extension(schema, "google.api.field_behavior");
  const rules = extension(schema, "buf.validate.field");
  const routes = schema.files
    .flatMap((file) => file.services)
    .flatMap((service) => service.methods)
    .filter((method) => hasOption(method, http))
    .map((method) => routeOf(method, getOption(method, http)));

  const writer = new TypeWriter(behavior, rules);
  for (const { method, request, response } of routes) {
    if (request.fields.length > 0) writer.add(request, "request");
    if (method.methodKind !== "server_streaming") writer.add(response, "response");
    else for (const field of eventsOf(response)) writer.add(messageOf(field), "response");
  }

  const types = schema.generateFile("rest.ts");
  types.print("// Generated from the contract by `npm run generate`. Do not edit.");
  /** @type {Set<string>} */
  const taken = new Set();
  for (const { method, response } of routes.filter((route) => route.method.methodKind === "server_streaming")) {
    // Events of another stream with the same name have the name of their method before it.
    const fields = eventsOf(response).map((field) => {
      const short = `${pascal(field.name)}Event`;
      const name = taken.has(short) ? `${method.name}${short}` : short;
      taken.add(name);
      return { field, name };
    });
    types.print();
    types.print(doc(commentOf(response)));
    types.print(`export type ${method.name}Event = ${fields.map(({ name }) => name).join(" | ")};`);
    for (const { field, name } of fields) {
      types.print();
      types.print(doc(commentOf(field)));
      types.print(`export interface ${name} {`);
      types.print(`  type: "${field.name}";`);
      types.print(`  data: ${messageOf(field).name};`);
      types.print("}");
    }
  }
  writer.print(types);
  printReasons(schema, types);

  const table = schema.generateFile("routes.ts");
  table.print("// Generated from the contract by `npm run generate`. Do not edit.");
  table.print("// Route of each public method of the contract. Bundlers leave out those that are not used.");
  table.print();
  for (const { method, verb, path } of routes) {
    table.print(`export const ${method.localName} = { verb: "${verb}", path: "${path}" } as const;`);
  }
}

/**
 * @param {Schema} schema
 * @param {string} name
 * @returns {DescExtension}
 */
function extension(schema, name) {
  const found = schema.allFiles.flatMap((file) => file.extensions).find((one) => one.typeName === name);
  if (!found) throw new Error(`the contract does not import ${name}`);
  return found;
}

/**
 * @param {DescMethod} method
 * @param {any} rule google.api.HttpRule
 * @returns {Route}
 */
function routeOf(method, rule) {
  const { case: kind, value } = rule.pattern;
  const [verb, path] = kind === "custom" ? [value.kind, value.path] : [kind.toUpperCase(), value];
  return {
    method,
    verb,
    // A parameter inside the body's field is named relative to the body: `{input.customer_id}` is `{customer_id}`.
    path: path.replaceAll(`{${rule.body}.`, "{"),
    request: part(method.input, rule.body === "*" ? "" : rule.body),
    response: part(method.output, rule.responseBody),
  };
}

/**
 * @param {DescMessage} message
 * @param {string} name name of a field; empty for the whole message
 */
function part(message, name) {
  const field = message.fields.find((one) => one.name === name);
  return field ? messageOf(field) : message;
}

/** @param {DescMessage} message a message with a single oneof */
function eventsOf(message) {
  const [oneof] = message.oneofs;
  if (!oneof || oneof.fields.length !== message.fields.length) {
    throw new Error(`${message.typeName} is streamed, but is not a single oneof`);
  }
  return oneof.fields;
}

/**
 * @param {DescField} field
 * @returns {DescMessage}
 */
function messageOf(field) {
  if (!field.message) throw new Error(`${field} is not a message field`);
  return field.message;
}

/** Collects the types that the routes use. */
class TypeWriter {
  /**
   * @param {DescExtension} behavior google.api.field_behavior
   * @param {DescExtension} rules buf.validate.field
   */
  constructor(behavior, rules) {
    this.behavior = behavior;
    this.rules = rules;
    /** @type {Map<string, {message: DescMessage, role: "request" | "response"}>} */
    this.messages = new Map();
    /** @type {Map<string, DescEnum>} */
    this.enums = new Map();
  }

  /**
   * @param {DescMessage} message
   * @param {"request" | "response"} role
   */
  add(message, role) {
    const name = typeName(message, role);
    const known = this.messages.get(name);
    if (known) {
      if (known.message !== message) throw new Error(`${message.typeName} and ${known.message.typeName} share a name`);
      return;
    }
    this.messages.set(name, { message, role });
    for (const field of message.fields) {
      if (field.enum) this.enums.set(field.enum.name, field.enum);
      if (field.message) this.add(field.message, role);
    }
  }

  /** @param {import("@bufbuild/protoplugin").GeneratedFile} file */
  print(file) {
    for (const [name, { message, role }] of this.messages) {
      file.print();
      file.print(doc(commentOf(message)));
      if (message.fields.length === 0) {
        file.print(`export type ${name} = Record<string, never>;`);
        continue;
      }
      file.print(`export interface ${name} {`);
      for (const field of message.fields) {
        const bounds = role === "request" ? this.boundsOf(field) : [];
        file.print(doc([commentOf(field), ...bounds].join("\n"), "  "));
        file.print(`  ${field.name}${this.canBeAbsent(field, role) ? "?" : ""}: ${valueType(field, role)};`);
      }
      file.print("}");
    }
    for (const [name, description] of this.enums) {
      file.print();
      file.print(doc(commentOf(description)));
      file.print(`export type ${name} =\n${description.values.map((value) => `  | "${value.name}"`).join("\n")};`);
    }
  }

  /**
   * @param {DescField} field
   * @returns {string[]} JSDoc tags with the bounds of a field; for a list, also those of its elements
   */
  boundsOf(field) {
    if (!hasOption(field, this.rules)) return [];
    const rules = /** @type {any} */ (getOption(field, this.rules));
    const items = rules.type.case === "repeated" && rules.type.value.items;
    return [...tagsOf(rules), ...(items ? tagsOf(items).map((tag) => tag.replace("@", "@items.")) : [])];
  }

  /**
   * @param {DescField} field
   * @param {"request" | "response"} role
   */
  canBeAbsent(field, role) {
    const behaviors = hasOption(field, this.behavior) ? /** @type {number[]} */ (getOption(field, this.behavior)) : [];
    if (behaviors.includes(REQUIRED)) return false;
    if (role === "request") return true;
    if (field.proto.proto3Optional || field.oneof) return true;
    // Proto3 has no way to mark a message as always present; the contract's comments say when it is absent.
    return field.fieldKind === "message" && /\babsent\b/.test(commentOf(field));
  }
}

/**
 * @param {any} rules buf.validate.FieldRules
 * @returns {string[]} JSDoc tags with the keywords of JSON Schema
 */
function tagsOf(rules) {
  const { case: kind, value } = rules.type;
  if (kind === undefined) return [];
  /** @type {Record<string, number | bigint | undefined>} */
  const bounds = {};
  if (kind === "string") {
    bounds["minLength"] = value.minLen || undefined;
    bounds["maxLength"] = value.maxLen || undefined;
  } else if (kind === "repeated") {
    bounds["minItems"] = value.minItems || undefined;
    bounds["maxItems"] = value.maxItems || undefined;
  } else {
    const [lower, upper] = [value.greaterThan, value.lessThan];
    bounds["minimum"] = lower?.case === "gte" ? lower.value : undefined;
    bounds["exclusiveMinimum"] = lower?.case === "gt" ? lower.value : undefined;
    bounds["maximum"] = upper?.case === "lte" ? upper.value : undefined;
    bounds["exclusiveMaximum"] = upper?.case === "lt" ? upper.value : undefined;
  }
  return Object.entries(bounds).flatMap(([name, bound]) => (bound === undefined ? [] : [`@${name} ${bound}`]));
}

/**
 * @param {Schema} schema
 * @param {import("@bufbuild/protoplugin").GeneratedFile} file
 */
function printReasons(schema, file) {
  const reasons = schema.files.flatMap((one) => one.enums).find((one) => one.typeName === "pantree.error.v1.ErrorReason");
  if (!reasons) throw new Error("the contract has no pantree.error.v1.ErrorReason");
  const names = reasons.values.slice(1).map((value) => value.name.replace("ERROR_REASON_", ""));
  file.print();
  file.print(doc(commentOf(reasons)));
  file.print(`export type ErrorReason =\n${names.map((name) => `  | "${name}"`).join("\n")};`);
}

/**
 * @param {DescMessage} message
 * @param {"request" | "response"} role
 */
function typeName(message, role) {
  return role === "response" || /(Input|Request)$/.test(message.name) ? message.name : `${message.name}Input`;
}

/**
 * @param {DescField} field
 * @param {"request" | "response"} role
 * @returns {string}
 */
function valueType(field, role) {
  if (field.fieldKind === "map") {
    return `Record<string, ${oneType(field.scalar, field.enum, field.message, role)}>`;
  }
  const type = oneType(field.scalar, field.enum, field.message, role);
  if (field.fieldKind !== "list") return type;
  return role === "request" ? `readonly ${type}[]` : `${type}[]`;
}

/**
 * @param {ScalarType | undefined} scalar
 * @param {DescEnum | undefined} enumeration
 * @param {DescMessage | undefined} message
 * @param {"request" | "response"} role
 */
function oneType(scalar, enumeration, message, role) {
  if (enumeration) return enumeration.name;
  if (message) return typeName(message, role);
  switch (scalar) {
    case ScalarType.BOOL:
      return "boolean";
    case ScalarType.STRING:
    case ScalarType.BYTES: // in base64
    case ScalarType.INT64: // JSON's numbers do not hold 64 bits
    case ScalarType.UINT64:
    case ScalarType.SINT64:
    case ScalarType.FIXED64:
    case ScalarType.SFIXED64:
      return "string";
    default:
      return "number";
  }
}

/** @param {DescMessage | DescField | DescEnum} description */
function commentOf(description) {
  return (getComments(description).leading ?? "").trim();
}

/**
 * @param {string} text
 * @param {string} [indentation]
 */
function doc(text, indentation = "") {
  const lines = text.split("\n").map((line) => line.trim());
  if (lines.length === 1) return `${indentation}/** ${lines[0]} */`;
  return [`${indentation}/**`, ...lines.map((line) => `${indentation} * ${line}`), `${indentation} */`].join("\n");
}

/** @param {string} name in snake_case */
function pascal(name) {
  return name.replace(/(?:^|_)(\w)/g, (_, letter) => letter.toUpperCase());
}
