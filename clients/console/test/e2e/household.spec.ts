import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Page } from "@playwright/test";
import { checkAxe, expect, picture, test } from "./page.js";

const EXAMPLE = fileURLToPath(new URL("../../../../examples/purchases.csv", import.meta.url));

const drop = (page: Page, name: string, text: string): Promise<void> =>
  page.locator("input[type=file]").setInputFiles({ name, mimeType: "text/csv", buffer: Buffer.from(text) });

/** Two purchases a week of one item, and others, from a fixed day on. */
function history(lines: number, names: (at: number) => string): string {
  const rows = ["date,item,price,quantity"];
  for (let at = 0; at < lines; at++) {
    const day = new Date(Date.UTC(2026, 0, 1) + Math.floor((at * 300) / lines) * 86_400_000);
    rows.push(`${day.toISOString().slice(0, 10)},"${names(at).replaceAll('"', '""')}",2.50,1`);
  }
  return rows.join("\n");
}

test("a file becomes an explained plan", async ({ page }) => {
  await page.goto("app/#/household");
  await checkAxe(page);
  await page.locator("input[type=file]").setInputFiles(EXAMPLE);
  await expect(page.locator(".cards > li").first()).toBeVisible();
  await expect(page.getByText("67 purchases read.")).toBeVisible();
  const card = page.locator(".card").filter({ hasText: "Oat milk" });
  await expect(card).toContainText(/every (week|\d weeks)/);
  await expect(card).toContainText("% sure you buy it again by");
  await expect(card.locator(".plot svg")).toHaveCount(2);
  await checkAxe(page);
  const [csv] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "Download as CSV" }).click()]);
  const text = readFileSync(await csv.path(), "utf8");
  expect(text.startsWith("\ufeffitem,every_days")).toBe(true);
  expect(text).toMatch(/Oat milk 1 L,\d+,\d+,2026-\d\d-\d\d,[\d.]+,-?[\d.]*,/);

  // The mapping can be changed; without prices there is no money.
  await page.getByText("Columns", { exact: true }).click();
  await page.getByLabel("Price of one").selectOption("");
  await expect(page.getByText("The file has no prices, so")).toBeVisible();

  await page.locator(".screen .bar button").first().click();
  await expect(page.locator(".drop")).toBeVisible();
});

test("names of receipts are followed by what they mean", async ({ page }) => {
  await page.goto("app/#/household");
  await drop(page, "receipts.csv", history(80, (at) => (at % 2 ? "WHL MLK" : "BANANAS")));
  await expect(page.locator(".card")).toHaveCount(2);
  await expect(page.locator(".card").filter({ hasText: "WHL MLK" }).locator(".plain-name")).toHaveText("Whole Milk");
  await expect(page.locator(".plain-name")).toHaveCount(1);
  await checkAxe(page);
});

test("unclear dates are asked once, with both readings", async ({ page }) => {
  await page.goto("app/#/household");
  await drop(page, "unclear.csv", "date,item,price\n03/04/26,Milk,1.99\n04/05/26,Milk,1.99\n05/06/26,Milk,1.99\n");
  await expect(page.getByRole("group", { name: "Is 03/04/26 day first or month first?" })).toBeVisible();
  await checkAxe(page);
  await page.getByRole("button", { name: "Month first: Mar 4, 2026" }).click();
  await expect(page.getByText("3 purchases read.")).toBeVisible();
  // Three purchases are no habit: it says so.
  await expect(page.getByText("Nothing is worth a subscription yet.")).toBeVisible();
});

test("columns with unknown names are asked for, with what they hold", async ({ page }) => {
  const rows = history(80, (at) => (at % 2 ? "Milk" : "Rice")).split("\n").slice(1);
  await page.goto("app/#/household");
  await drop(page, "odd.csv", ["when,what,how much,pieces", ...rows].join("\n"));
  const question = page.getByRole("group", { name: "Which column has the date, and which the item?" });
  await expect(question.getByRole("row").nth(1)).toContainText("2026-01-01Rice2.501");
  await expect(page.getByText("--map")).toHaveCount(0);
  await checkAxe(page);
  await question.getByLabel("Date").selectOption("when");
  await question.getByLabel("Item").selectOption("what");
  await expect(page.getByText("80 purchases read.")).toBeVisible();
  // Without prices, the columns are open; each shows some of what it holds.
  await page.getByLabel("Price of one").selectOption("how much");
  await expect(page.getByLabel("Price of one").locator("xpath=following-sibling::*")).toHaveText("2.50");
  await page.getByRole("combobox", { name: "Currency" }).fill("eur");
  await page.keyboard.press("Enter");
  await expect(page.locator(".verdict")).toContainText("€");
});

test("one of several households is shown, and another can be chosen", async ({ page }) => {
  const rows = history(120, (at) => (at % 2 ? "Milk" : "Rice")).split("\n").slice(1);
  await page.goto("app/#/household");
  const lines = rows.map((row, at) => `${at % 3 ? "Smith" : "Jones <b>"},${row}`);
  await drop(page, "two.csv", ["household,date,item,price,quantity", ...lines].join("\n"));
  const choice = page.getByLabel("2 households in this file. Shown:");
  await expect(choice).toHaveValue("Smith");
  await choice.selectOption("Jones <b>");
  await expect(page.getByText("40 purchases read.")).toBeVisible();
  await expect(choice).toHaveValue("Jones <b>");
});

test("faulty rows are named by line, and the others go on", async ({ page }) => {
  const good = history(80, (at) => (at % 2 ? "Milk" : "Rice"));
  await page.goto("app/#/household");
  await drop(page, "faults.csv", `${good}\n2026-11-01,Bread,free,1\nno date,Rice,2.50,1\n${"2026-11-02,Bread,n/a,1\n".repeat(5)}`);
  const problem = page.getByRole("alert");
  await expect(problem).toContainText("7 rows cannot be read as they are");
  await expect(problem).toContainText("line 82, price");
  await expect(problem).toContainText("line 83, date");
  await expect(problem.getByRole("listitem")).toHaveCount(5);
  await checkAxe(page);
  const [all] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "Download all 7" }).click()]);
  expect(readFileSync(await all.path(), "utf8")).toContain('"line 88, price"');
  await page.getByRole("button", { name: "Leave these rows out and go on" }).click();
  await expect(page.getByText("80 purchases read.")).toBeVisible();
  await page.getByText("7 rows or remarks need a look").click();
  await expect(page.getByText("Left out").first()).toBeVisible();
});

test("what is no file of purchases is said plainly", async ({ page }) => {
  await page.goto("app/#/household");
  await drop(page, "notes.txt", "dear diary\ntoday it rained\n");
  await expect(page.getByRole("alert")).toContainText("cannot be read yet");
  await page.getByRole("button", { name: "Use another file" }).click();
  await drop(page, "empty.csv", "");
  await expect(page.getByRole("alert")).toHaveText("The file is empty.");
});

test("the answer follows the slider", async ({ page }) => {
  const sent: number[] = [];
  page.on("request", (request) => {
    if (!request.url().endsWith("/process")) return;
    const question = request.postDataJSON();
    if (!question.include_cadence_changes) sent.push(question.stockout_tolerance_ratio);
  });
  await page.goto("app/#/household");
  await page.locator("input[type=file]").setInputFiles(EXAMPLE);
  const leads = page.locator(".card .lead");
  await expect(leads.first()).toBeVisible();
  const balanced = await leads.allTextContents();
  const slider = page.getByLabel("When in doubt");
  await expect(slider).toHaveAttribute("aria-valuetext", "balanced");
  await slider.focus();
  for (let step = 0; step < 8; step++) await page.keyboard.press("ArrowRight");
  await expect(slider).toHaveAttribute("aria-valuetext", "rather run out");
  await expect(page.locator("[aria-busy=false]")).toBeVisible();
  await expect.poll(() => sent.at(-1)).toBe(0.9);
  await expect.poll(async () => (await leads.allTextContents()).join()).not.toBe(balanced.join());
  // Values that were passed over are not asked for.
  expect(sent.length).toBeLessThan(9);
  // What would change the cadences follows, once nothing moves.
  await page.locator(".card summary").filter({ hasText: "What would change it" }).first().click();
  await expect(page.locator(".card details[open]").first()).not.toContainText("Looking for it");
  await checkAxe(page);
});

test("the plan keeps to a delivery day and to a number of boxes, and says what does not fit", async ({ page }) => {
  await page.goto("app/#/household");
  await page.locator("input[type=file]").setInputFiles(EXAMPLE);
  await expect(page.locator(".weeks strong").first()).toBeVisible();
  await page.getByLabel("Delivery day").selectOption("Thursday");
  await page.getByLabel("Boxes in 4 weeks").selectOption("2");
  const days = page.locator(".weeks strong");
  const year = (text: string): number => (/Nov|Dec/.test(text) ? 2026 : 2027);
  await expect
    .poll(async () => (await days.allTextContents()).map((text) => new Date(`${text} ${year(text)} UTC`).getUTCDay()).join(""))
    .toMatch(/^4{1,6}$/);
  await checkAxe(page);
  const spend = page.getByLabel("Spend less or more");
  await expect(spend).toHaveAttribute("aria-valuetext", "any");
  await spend.focus();
  for (let step = 0; step < 5; step++) await page.keyboard.press("ArrowLeft");
  const budget = Number(await page.getByLabel("Budget in 4 weeks").inputValue());
  expect(budget).toBeGreaterThan(1);
  expect(budget).toBeLessThan(Number(await spend.getAttribute("max")));
  await page.keyboard.press("End");
  await expect(page.getByLabel("Budget in 4 weeks")).toHaveValue("");
  await page.getByLabel("Budget in 4 weeks").fill("0.5");
  await expect(page.locator(".card, [role=note]").first()).toBeVisible();
  await expect(page.locator("[aria-busy=false]")).toBeVisible();
});

test.describe("on a phone", () => {
  test.use({ viewport: { width: 360, height: 740 }, isMobile: true, hasTouch: true });

  test("no view is wider than the screen, and each can be reached", async ({ page }) => {
    await page.goto("app/#/household");
    for (const view of ["What if", "Program", "System", "Try it", "Household"]) {
      await page.getByRole("link", { name: view, exact: true }).tap();
      await expect(page.getByRole("link", { name: view, exact: true })).toHaveAttribute("aria-current", "page");
      expect(await page.evaluate(() => innerWidth)).toBe(360);
    }
  });
});

test("20,000 lines with hostile names", async ({ page }) => {
  // A mesh that has just started computes slowly at first.
  test.setTimeout(180_000);
  const hostile = ["<img src=x onerror=alert(1)>", "[/6 pieces]", "خبز", "🥛", "=1+1", "Milk"];
  await page.goto("app/#/household");
  await drop(page, "big.csv", history(20_000, (at) => hostile[at % hostile.length] ?? ""));
  await expect(page.getByText("20,000 purchases read.")).toBeVisible({ timeout: 30_000 });
  await expect(page.locator(".cards > li").first()).toBeVisible({ timeout: 120_000 });
  const shown = await page.locator(".card h3, .panel li strong").allInnerTexts();
  expect(shown.length).toBeGreaterThan(0);
  for (const name of shown) expect([...hostile, name]).toContain(name.trim());
  expect(await page.locator(".card img, .panel img").count()).toBe(0);
});

test("500 recommendations are shown by forty, with a filter", async ({ page }) => {
  // The contract allows 100; the page must not slow down with what later versions send.
  await page.route("**/api/v1/process", async (route) => {
    const answer = await (await route.fetch()).json();
    const [one] = answer.recommendations.recommendations;
    answer.recommendations.recommendations = Array.from({ length: 500 }, (_, at) => ({ ...one, name: `Item ${at}` }));
    await route.fulfill({ json: answer });
  });
  await page.goto("app/#/household");
  await page.locator("input[type=file]").setInputFiles(EXAMPLE);
  await expect(page.locator(".cards > li")).toHaveCount(40);
  await page.getByRole("button", { name: "Show 40 more" }).click();
  await expect(page.locator(".cards > li")).toHaveCount(80);
  await page.getByRole("searchbox").fill("item 49");
  await expect(page.locator(".cards > li")).toHaveCount(11);
  // A response that is still being read when the page closes would be an error.
  await page.unrouteAll({ behavior: "wait" });
});

test.describe("when parts fail", () => {
  test.use({ expectedErrors: /status of (503|429)/ });

  test("the page says which, and the next try succeeds", async ({ page }) => {
    const problems = [
      { status: 503, code: "COMPONENT_UNAVAILABLE", component: "frequency" },
      { status: 503, code: "COMPONENT_UNAVAILABLE", component: "frequency" },
      { status: 503, code: "COMPONENT_UNAVAILABLE", component: "frequency" },
      { status: 429, code: "TOO_MANY_REQUESTS" },
    ];
    await page.route("**/api/v1/process", (route) => {
      const problem = problems.shift();
      if (!problem) return route.continue();
      return route.fulfill({
        status: problem.status,
        contentType: "application/problem+json",
        json: { type: "about:blank", title: "", detail: "try later", instance: "", errors: [], trace_id: "0af7651916cd43dd", ...problem },
      });
    });
    await page.goto("app/#/household");
    await page.locator("input[type=file]").setInputFiles(EXAMPLE);
    await expect(page.getByRole("alert")).toContainText("frequency does not answer");
    await expect(page.getByRole("alert")).toContainText("0af7651916cd43dd");
    await checkAxe(page);
    await page.getByRole("button", { name: "Try again" }).click();
    await expect(page.getByRole("alert")).toContainText("Too much is going on at once.");
    await page.getByRole("button", { name: "Try again" }).click();
    await expect(page.locator(".cards > li").first()).toBeVisible();
  });
});

test("pictures of Household", async ({ page }) => {
  await page.setViewportSize({ width: 1280, height: 1000 });
  await page.goto("app/#/household");
  await page.locator("input[type=file]").setInputFiles(EXAMPLE);
  await expect(page.locator(".card .plot svg").first()).toBeVisible();
  await page.waitForTimeout(600);
  await picture(page, "household-light");
  await page.emulateMedia({ colorScheme: "dark" });
  await picture(page, "household-dark");
  await checkAxe(page);
  await page.emulateMedia({ media: "print", colorScheme: "light" });
  await picture(page, "household-print");
  await page.emulateMedia({ media: "screen" });
  await page.setViewportSize({ width: 360, height: 740 });
  await page.waitForTimeout(400);
  await picture(page, "household-phone", { fullPage: true });
  expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(360);
});
