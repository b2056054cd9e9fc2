// The examples of README.md that run without a page.
import { afterEach, beforeEach, expect, test, vi } from "vitest";

const examples = import.meta.glob("../readme/node-*.ts");
const lines: string[] = [];

beforeEach(() => {
  lines.length = 0;
  vi.spyOn(console, "log").mockImplementation((...parts: unknown[]) => void lines.push(parts.join(" ")));
});
afterEach(() => vi.restoreAllMocks());

test.each(Object.entries(examples))("%s runs", async (_name, run) => {
  await run();
  expect(lines.length).toBeGreaterThan(0);
});
