import { playwright } from "@vitest/browser-playwright";
import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

// A page that is served on loopback needs none of what Chromium does in the background.
const CHROMIUM_ARGUMENTS = [
  // Its sandbox does not start as root, as in containers.
  ...(process.getuid?.() === 0 ? ["--no-sandbox"] : []),
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

const own = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

export default defineConfig({
  // What is tested against the mesh is what would be published.
  resolve: { alias: { "pantree-client": own("dist/index.js") } },
  test: {
    provide: { gateway: process.env["PANTREE_URL"] ?? "http://localhost:8000" },
    testTimeout: 60_000,
    projects: [
      { extends: true, test: { name: "unit", include: ["test/unit/*.test.ts"] } },
      {
        extends: true,
        test: {
          name: "node",
          include: ["test/mesh/*.test.ts", "test/node/*.test.ts"],
          setupFiles: ["test/node/websocket.ts"],
        },
      },
      {
        extends: true,
        test: {
          name: "chromium",
          include: ["test/mesh/*.test.ts", "test/page/*.test.ts"],
          browser: {
            enabled: true,
            headless: true,
            screenshotFailures: false,
            provider: playwright({
              launchOptions: {
                executablePath: process.env["CHROMIUM"] ?? "/usr/bin/chromium",
                args: CHROMIUM_ARGUMENTS,
              },
            }),
            instances: [{ browser: "chromium" }],
          },
        },
      },
    ],
  },
});
