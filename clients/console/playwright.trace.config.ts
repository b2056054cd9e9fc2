import { defineConfig } from "@playwright/test";
import base from "./playwright.config.js";

/** Measurements, which are printed and never asserted: `make console-trace`. */
export default defineConfig(base, { testDir: "test/trace", testMatch: "*.trace.ts", timeout: 3_600_000, reporter: "./test/trace/reporter.ts" });
