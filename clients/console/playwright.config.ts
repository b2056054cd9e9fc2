import { defineConfig } from "@playwright/test";

export default defineConfig({
  testDir: "test/e2e",
  outputDir: process.env["PANTREE_TEST_RESULTS"] ?? "test-results",
  timeout: 90_000,
  expect: { timeout: 30_000 },
  // One mesh on two cores.
  workers: 1,
  reporter: "line",
  use: {
    baseURL: process.env["PANTREE_URL"] ?? "http://localhost:8000",
    locale: "en-US",
    timezoneId: "UTC",
    viewport: { width: 1280, height: 900 },
    launchOptions: {
      executablePath: process.env["CHROMIUM"] ?? "/usr/bin/chromium",
      args: [
        // The sandbox does not start as root, for example in containers.
        ...(process.getuid?.() === 0 ? ["--no-sandbox"] : []),
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--font-render-hinting=none",
      ],
    },
  },
});
