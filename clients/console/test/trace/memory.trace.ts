import { test, expect } from "@playwright/test";
import { load, memoryOf } from "./measure.js";

const RUNS = Number(process.env["PANTREE_TRACE_RUNS"] ?? 1000);
const STEP = 100;

test("memory", async ({ page }) => {
  const session = await page.context().newCDPSession(page);
  await session.send("Performance.enable");
  await page.goto("app/#/try?b=Milk*5.49*2~Bananas*1.99*1&m=2&d=2026-11-26");
  await expect(page.locator(".status")).toHaveText("2 months shown.");
  const begin = Date.now();
  const row = async (runs: number): Promise<void> => {
    const { heapMib, nodes, listeners, documents } = await memoryOf(session);
    console.log(
      `${String(runs).padStart(5)} runs ${heapMib.toFixed(2).padStart(8)} MiB ${String(nodes).padStart(7)} nodes ` +
        `${String(listeners).padStart(6)} listeners ${documents} documents  ${((Date.now() - begin) / 1000).toFixed(0).padStart(5)} s; ${load()}`,
    );
  };
  console.log("memory: each run is started by the button Show me, and streamed by the mesh");
  await row(1);
  for (let runs = 1; runs < RUNS; ) {
    const count = Math.min(STEP - (runs % STEP), RUNS - runs);
    await page.evaluate(async (times) => {
      const button = document.querySelector<HTMLButtonElement>("button[type=submit]")!;
      const status = document.querySelector<HTMLElement>(".status")!;
      const until = (isReached: () => boolean): Promise<void> =>
        new Promise((resolve, reject) => {
          const check = (): void => {
            if (status.dataset["phase"] === "failed") reject(new Error(document.querySelector("[role=alert]")?.textContent ?? "failed"));
            else if (isReached()) resolve();
            else setTimeout(check, 5);
          };
          check();
        });
      for (let time = 0; time < times; time++) {
        button.click();
        await until(() => status.dataset["phase"] !== "done");
        await until(() => status.dataset["phase"] === "done");
      }
    }, count);
    runs += count;
    await row(runs);
  }
});
