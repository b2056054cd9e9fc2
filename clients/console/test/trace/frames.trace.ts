import { writeFileSync } from "node:fs";
import { test, expect, type Page } from "@playwright/test";
import { framesText, load, median, recordFrames } from "./measure.js";

const OUTPUT = process.env["PANTREE_TRACES"] ?? "test-results";
const ITEMS = 200;
const WEEKS = 40;
const RUNS = 10;

interface TraceEvent {
  name: string;
  cat: string;
  ts: number;
}

/** Marks each month's frame of the WebSocket, and each chart that shows one more month. */
async function markMonths(page: Page): Promise<void> {
  await page.addInitScript(() => {
    const Original = WebSocket;
    window.WebSocket = class extends Original {
      constructor(url: string | URL, protocols?: string | string[]) {
        super(url, protocols);
        this.addEventListener("message", ({ data }) => {
          const event = JSON.parse(String(data)) as { type: string; data: { month_number?: number } };
          if (event.type === "monthly_update") performance.mark(`frame ${event.data.month_number}`);
        });
      }
    };
    new MutationObserver(() => {
      const months = new Set([...document.querySelectorAll(".try .panel .plot [aria-label=bar] rect")].map((bar) => bar.getAttribute("x"))).size;
      if (months > 0) performance.mark(`drawn ${months}`);
    }).observe(document, { childList: true, subtree: true });
  });
}

/** Milliseconds from the frame of the first month to the first displayed frame that has its bar. */
function delayOf(events: readonly TraceEvent[]): { drawn: number; displayed: number } {
  const at = (name: string): number => events.filter((event) => event.cat.includes("user_timing") && event.name === name).map(({ ts }) => ts).sort((a, b) => a - b)[0] ?? NaN;
  const frame = at("frame 1");
  // A later month may have come before the first was drawn.
  const drawn = Math.min(...[1, 2, 3, 4, 5, 6].map((month) => at(`drawn ${month}`)).filter((time) => time >= frame));
  const displayed = Math.min(...events.filter(({ name, ts }) => name === "DrawFrame" && ts > drawn).map(({ ts }) => ts));
  return { drawn: (drawn - frame) / 1000, displayed: (displayed - frame) / 1000 };
}

test("first month", async ({ browser, page }) => {
  await markMonths(page);
  for (const [what, address] of [
    ["pressing Show me", "app/"],
    ["opening a link", "app/#/try?b=Bananas*1.99*1~Chicken%20Breast*12.99*1&a=health_conscious&m=6&s=8&d=2026-11-26"],
  ] as const) {
    const delays: { drawn: number; displayed: number }[] = [];
    for (let run = 0; run < RUNS; run++) {
      await page.goto("about:blank");
      const isLink = address.includes("#");
      if (!isLink) {
        await page.goto(address);
        await expect(page.locator(".basket li")).toHaveCount(4);
        await page.waitForTimeout(500);
      }
      await browser.startTracing(page, { categories: ["blink.user_timing", "devtools.timeline", "disabled-by-default-devtools.timeline.frame", "devtools.timeline.frame"] });
      if (isLink) await page.goto(address);
      else await page.getByRole("button", { name: "Show me" }).click();
      await expect(page.locator(".status")).toHaveText("6 months shown.");
      const trace = await browser.stopTracing();
      delays.push(delayOf((JSON.parse(trace.toString()) as { traceEvents: TraceEvent[] }).traceEvents));
      writeFileSync(`${OUTPUT}/first-month-${isLink ? "link" : "button"}.json`, trace);
    }
    const displayed = delays.map((delay) => delay.displayed);
    console.log(
      `first month, ${what}: displayed ${median(displayed).toFixed(1)} ms after its frame (median of ${RUNS}), at most ` +
        `${Math.max(...displayed).toFixed(1)} ms; in the document after ${median(delays.map(({ drawn }) => drawn)).toFixed(1)} ms; ${load()}`,
    );
  }
});

/** A household that buys 200 items, every one to four weeks. */
function history(): string {
  const rows = ["date,item,price,quantity"];
  const first = Date.UTC(2026, 0, 2);
  for (let week = 0; week < WEEKS; week++) {
    for (let item = 0; item < ITEMS; item++) {
      if (week % (1 + (item % 4)) !== 0) continue;
      const day = new Date(first + (7 * week + (item % 3)) * 86_400_000);
      rows.push(`${day.toISOString().slice(0, 10)},Item ${item + 1},${(1 + (item % 17) * 0.5).toFixed(2)},${1 + (item % 2)}`);
    }
  }
  return rows.join("\n");
}

test("slider", async ({ browser, page }) => {
  let answers = 0;
  const times: number[] = [];
  page.on("requestfinished", (request) => {
    if (!/\/(process|plan)$/.test(request.url())) return;
    answers++;
    times.push(request.timing().responseEnd);
  });
  await page.goto("app/#/household");
  await page.locator("input[type=file]").setInputFiles({ name: "household.csv", mimeType: "text/csv", buffer: Buffer.from(history()) });
  await expect(page.locator(".cards > li").first()).toBeVisible();
  await expect(page.locator("[aria-busy=false]")).toBeVisible();
  const slider = page.getByLabel("When in doubt");
  const count = await page.locator(".cards > li").count();
  console.log(`slider, ${ITEMS} items, ${count} cards; ${load()}`);
  console.log(`  at rest: ${framesText(await recordFrames(page, () => page.waitForTimeout(3000)))}`);

  const drag = async (): Promise<void> => {
    const box = (await slider.boundingBox())!;
    const middle = box.y + box.height / 2;
    await page.mouse.move(box.x + box.width / 2, middle);
    await page.mouse.down();
    const end = Date.now() + 8000;
    for (let step = 0; Date.now() < end; step++) {
      await page.mouse.move(box.x + box.width * (0.5 + 0.45 * Math.sin(step / 40)), middle);
      await page.waitForTimeout(12);
    }
    await page.mouse.up();
  };
  const measure = async (what: string, file: string): Promise<void> => {
    answers = 0;
    times.length = 0;
    await browser.startTracing(page, { path: `${OUTPUT}/${file}.json`, categories: ["devtools.timeline", "disabled-by-default-devtools.timeline", "disabled-by-default-v8.cpu_profiler", "blink.user_timing", "devtools.timeline.frame"] });
    const recorded = await recordFrames(page, drag);
    await browser.stopTracing();
    console.log(`  ${what}: ${framesText(recorded)}; ${answers} answers, median ${median(times).toFixed(0)} ms; ${load()}`);
    await expect(page.locator("[aria-busy=false]")).toBeVisible();
  };
  await measure("sliding", "slider");
  const more = page.getByRole("button", { name: /^Show \d+ more/ });
  while (await more.isVisible()) await more.click();
  await page.evaluate(() => scrollTo(0, 0));
  await measure(`sliding, all ${await page.locator(".cards > li").count()} cards`, "slider-all");
});
