// Generates src/generated from the contract: `npm run generate`, or `node scripts/generate.mjs DIR` for another directory.
//
// It reads the descriptor image that `make protos` writes, which includes comments, so it needs no protoc.
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

/** @typedef {import("@bufbuild/protobuf/wkt").FileDescriptorProto} File */
const files = fromBinary(FileDescriptorSetSchema, readFileSync(image)).file;
// Google's comments are documented by Google.
for (const file of files) if (file.name.startsWith("google/")) file.sourceCodeInfo = undefined;

// The servers check the bounds of fields, which are options of buf.validate. The messages need neither these options nor
// the files that define them; the REST types show the bounds in their comments.
const VALIDATE_OPTION = 1159;
/** @param {string} name */
const definesRules = (name) => name.startsWith("buf/validate/") || name.startsWith("pantree/rules/");
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

/** @param {File[]} protoFile */
const request = (protoFile) =>
  create(CodeGeneratorRequestSchema, {
    // Our files import Google's annotations; @bufbuild/protobuf contains the well-known types.
    fileToGenerate: protoFile
      .map((file) => file.name)
      .filter((name) => !name.startsWith("google/protobuf/") && !definesRules(name)),
    parameter: "target=ts,import_extension=js",
    protoFile,
  });

const rest = restPlugin.run(request(files));
const withoutRules = files.filter(({ name }) => !definesRules(name));
for (const file of withoutRules) {
  file.dependency = file.dependency.filter((name) => !definesRules(name));
  file.messageType.forEach(removeRules);
}
const messages = fromBinary(
  CodeGeneratorResponseSchema,
  execFileSync(process.execPath, [join(root, "node_modules/@bufbuild/protoc-gen-es/bin/protoc-gen-es")], {
    input: toBinary(CodeGeneratorRequestSchema, request(withoutRules)),
    maxBuffer: 64 * 1024 * 1024,
  }),
);

rmSync(target, { recursive: true, force: true });
for (const [directory, response] of /** @type {const} */ ([["messages", messages], ["", rest]])) {
  if (response.error) throw new Error(response.error);
  for (const file of response.file) {
    const path = join(target, directory, /** @type {string} */ (file.name));
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, /** @type {string} */ (file.content));
  }
}
