import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import type { Plugin } from "vite";
import { defineConfig } from "vitest/config";

const own = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
// What the build is made of; tests/console compares the digest with the tree.
const SOURCES = ["index.html", "package.json", "package-lock.json", "tsconfig.json", "vite.config.ts", "src", "../typescript/src"];
// Types, and routes of which the bundle has only those that it uses: a new RPC needs no new build.
const GENERATED = "typescript/src/generated/";

function files(path: string): string[] {
  try {
    return readdirSync(path, { withFileTypes: true }).flatMap((entry) => files(join(path, entry.name)));
  } catch {
    return [path];
  }
}

function digest(): string {
  const root = own("..");
  const hash = createHash("sha256");
  const paths = SOURCES.flatMap((source) => files(own(source))).map((path) => relative(root, path).replaceAll("\\", "/"));
  for (const path of paths.sort()) {
    if (path.startsWith(GENERATED)) continue;
    const content = createHash("sha256").update(readFileSync(join(root, path))).digest("hex");
    hash.update(`${path} ${content}\n`);
  }
  return hash.digest("hex");
}

const buildFile: Plugin = {
  name: "build-file",
  apply: "build",
  generateBundle() {
    this.emitFile({ type: "asset", fileName: "build.json", source: `${JSON.stringify({ sources: digest() })}\n` });
  },
};

const gateway = process.env["PANTREE_URL"] ?? "http://localhost:8000";

export default defineConfig({
  // Relative: the gateway may be served below any path.
  base: "./",
  plugins: [buildFile],
  resolve: { alias: { "pantree-client": own("../typescript/src/index.ts") } },
  build: {
    outDir: own("../../gateway/pantree_gateway/console"),
    emptyOutDir: true,
    target: "es2022",
    // The policy allows no inlined scripts, styles and images.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    sourcemap: false,
  },
  server: {
    // As behind the gateway, where the page is below /app/.
    proxy: Object.fromEntries(
      ["/api", "/health", "/docs", "/docs-assets", "/openapi.json", "/asyncapi.json", "/metrics", "/ws"].map((path) => [
        path,
        { target: gateway, ws: path === "/ws" },
      ]),
    ),
  },
  test: { include: ["test/unit/*.test.ts"] },
});
