import { playwright } from "@vitest/browser-playwright";
import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

// Disables background activity of Chromium that the tests do not need.
const CHROMIUM_ARGUMENTS = [
  // The sandbox does not start as root, for example in containers.
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
  // The tests use the build that would be published.
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
