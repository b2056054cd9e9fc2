/** A page that fails its test on errors, on violations of its policy, on foreign requests and on layout shifts. */
import { expect, test as base, type Page } from "@playwright/test";
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";

export { expect };

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const PICTURES = process.env["PANTREE_PICTURES"] ?? "test-results/pictures";

interface Options {
  /** Console errors that a test provokes. */
  expectedErrors: RegExp;
  monitored: void;
}

export const test = base.extend<Options>({
  expectedErrors: [/^$/, { option: true }],
  monitored: [
    async ({ page, expectedErrors }, use) => {
      const faults: string[] = [];
      page.on("pageerror", (error) => faults.push(`page error: ${error.message}`));
      page.on("console", (message) => {
        const text = message.text();
        if (message.type() === "error" && !expectedErrors.test(text)) faults.push(`console: ${text}`);
      });
      let origin = "";
      page.on("framenavigated", (frame) => {
        if (frame === page.mainFrame()) origin = new URL(frame.url()).origin;
      });
      page.on("request", (request) => {
        const url = new URL(request.url());
        if (origin.startsWith("http") && url.origin !== origin && /^https?:$/.test(url.protocol)) {
          faults.push(`foreign request: ${url}`);
        }
      });
      await page.addInitScript(() => {
        const all = window as unknown as { violations: string[]; shift: number };
        all.violations = [];
        all.shift = 0;
        document.addEventListener("securitypolicyviolation", (event) => {
          all.violations.push(`${event.violatedDirective} ${event.blockedURI}`);
        });
        new PerformanceObserver((list) => {
          for (const entry of list.getEntries() as unknown as { hadRecentInput: boolean; value: number }[]) {
            if (!entry.hadRecentInput) all.shift += entry.value;
          }
        }).observe({ type: "layout-shift", buffered: true });
      });
      await use();
      if (!page.isClosed() && page.url().startsWith("http")) {
        faults.push(...(await page.evaluate(() => (window as unknown as { violations: string[] }).violations)));
      }
      expect(faults).toEqual([]);
    },
    { auto: true },
  ],
});

export const shift = (page: Page): Promise<number> =>
  page.evaluate(() => (window as unknown as { shift: number }).shift);

/** Checks a page with axe: no violation of WCAG 2.2 A and AA. */
export async function checkAxe(page: Page): Promise<void> {
  // The debugger evaluates it, which the policy of the page does not concern.
  await page.evaluate(AXE);
  const found = await page.evaluate(async () => {
    const { axe } = window as unknown as {
      axe: { run: (options: object) => Promise<{ violations: { id: string; nodes: { html: string; failureSummary: string }[] }[] }> };
    };
    const tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
    const { violations } = await axe.run({ runOnly: tags });
    return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`).slice(0, 3).join(" | ")}`);
  });
  expect(found).toEqual([]);
}

/** A picture for people to look at. */
export async function picture(page: Page, name: string, options: object = {}): Promise<void> {
  mkdirSync(PICTURES, { recursive: true });
  await page.screenshot({ path: `${PICTURES}/${name}.png`, ...options });
}
