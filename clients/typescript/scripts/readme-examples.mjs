// Writes the examples of README.md to test/readme, where the tests check their types and run them.
//
// PANTREE_URL replaces the default address of the gateway. An example that uses the DOM runs only in the browser.
// @ts-check
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const target = join(root, "test/readme");
const gateway = process.env["PANTREE_URL"] ?? "http://localhost:8000";

rmSync(target, { recursive: true, force: true });
mkdirSync(target, { recursive: true });
const blocks = [...readFileSync(join(root, "README.md"), "utf8").matchAll(/^```ts\n(.*?)^```$/gms)];
blocks.forEach(([, code = ""], index) => {
  const kind = code.includes("document.") ? "page" : "node";
  writeFileSync(join(target, `${kind}-${index + 1}.ts`), code.replaceAll("http://localhost:8000", gateway));
});
