// Writes src/generated from the contract: `npm run generate`, or `node scripts/generate.mjs FOLDER` to look first.
//
// The contract comes as the descriptor image that `make protos` writes, with its comments, so no protoc is needed.
// @ts-check
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  CodeGeneratorRequestSchema,
  CodeGeneratorResponseSchema,
  FieldOptionsSchema,
  FileDescriptorSetSchema,
} from "@bufbuild/protobuf/wkt";
import { restPlugin } from "./rest-plugin.mjs";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const image = join(root, "../../gen/pantree/contract.binpb");
const target = process.argv[2] ?? join(root, "src/generated");

// The bounds of fields are options of buf.validate. The client leaves checking to the servers, so it needs neither the
// options nor the files that define them.
const VALIDATE_OPTION = 1159;
/** @param {string} name */
const isRules = (name) => name.startsWith("buf/validate/") || name.startsWith("pantree/rules/");
/** @param {import("@bufbuild/protobuf/wkt").DescriptorProto} message */
const removeRules = ({ field: fields, nestedType }) => {
  for (const field of fields) {
    const { options } = field;
    if (!options) continue;
    options.$unknown = options.$unknown?.filter(({ no }) => no !== VALIDATE_OPTION);
    if (toBinary(FieldOptionsSchema, options).length === 0) field.options = undefined;
  }
  nestedType.forEach(removeRules);
};

const protoFile = fromBinary(FileDescriptorSetSchema, readFileSync(image)).file.filter(({ name }) => !isRules(name));
for (const file of protoFile) {
  file.dependency = file.dependency.filter((name) => !isRules(name));
  file.messageType.forEach(removeRules);
}
const names = protoFile.map((file) => file.name);
// Google's annotations are imported by ours; the well-known types come with @bufbuild/protobuf.
const fileToGenerate = names.filter((name) => !name.startsWith("google/protobuf/"));
// Their comments are Google's text, which is to be read there.
for (const file of protoFile) if (file.name.startsWith("google/")) file.sourceCodeInfo = undefined;

/** @param {string} parameter */
const request = (parameter) =>
  create(CodeGeneratorRequestSchema, { fileToGenerate, parameter, protoFile });

const messages = fromBinary(
  CodeGeneratorResponseSchema,
  execFileSync(process.execPath, [join(root, "node_modules/@bufbuild/protoc-gen-es/bin/protoc-gen-es")], {
    input: toBinary(CodeGeneratorRequestSchema, request("target=ts,import_extension=js")),
    maxBuffer: 64 * 1024 * 1024,
  }),
);
const rest = restPlugin.run(request("target=ts,import_extension=js"));

rmSync(target, { recursive: true, force: true });
for (const [folder, response] of /** @type {const} */ ([["messages", messages], ["", rest]])) {
  if (response.error) throw new Error(response.error);
  for (const file of response.file) {
    const path = join(target, folder, /** @type {string} */ (file.name));
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, /** @type {string} */ (file.content));
  }
}
