import { fileURLToPath } from "node:url";
import { checkAxe, expect, picture, shift, test } from "./page.js";

const EXAMPLE = fileURLToPath(new URL("../../../../examples/purchases.csv", import.meta.url));

test("the last weeks of a file are played with a plan, and what is wrong is said at its field", async ({ page }) => {
  await page.goto("app/#/what-if");
  await checkAxe(page);
  await page.locator("input[type=file]").setInputFiles(EXAMPLE);
  await expect(page.locator(".status")).toHaveText(/Week \d+ of 12/);
  await expect(page.locator(".at-home .plot svg").first()).toBeVisible();
  const before = await shift(page);
  await expect(page.locator(".status")).toHaveText("12 weeks played.");
  // Weeks that arrive push nothing above them.
  expect((await shift(page)) - before).toBeLessThan(0.05);
  await expect(page.locator(".verdict")).toContainText(/^The plan would have (saved|cost) .* in 12 weeks\.$/);
  await expect(page.locator(".weekly tbody tr")).toHaveCount(12);

  // The parts agree with each other: early deliveries in the total, in the list and on the cards.
  const total = await page.locator(".weekly tfoot td").first().textContent();
  const early = Number(/, (\d+) early/.exec(total ?? "")?.[1]);
  expect(early).toBeGreaterThan(0);
  const list = page.locator(".misses > div > div").first();
  const more = list.getByRole("button");
  if (await more.count()) await more.click();
  await expect(list.locator("li")).toHaveCount(early);
  const cards = await page.locator(".at-home figcaption").allTextContents();
  expect(cards.reduce((sum, text) => sum + Number(/(\d+) early/.exec(text)?.[1] ?? 0), 0)).toBe(early);

  // Days are read with the keyboard, and as a table.
  const cursor = page.locator(".at-home").first().getByRole("slider");
  await cursor.focus();
  await page.keyboard.press("Home");
  await expect(cursor).toHaveAttribute("aria-valuetext", /^Sep 3, 2026: \d units? at home/);
  await page.locator(".at-home").first().getByText("Show as a table").click();
  await expect(page.locator(".at-home").first().locator("tbody tr")).toHaveCount(84);
  await checkAxe(page);

  await page.getByLabel("Budget in 4 weeks").fill("-2");
  await page.getByRole("button", { name: "Play the weeks" }).click();
  await expect(page.getByLabel("Budget in 4 weeks")).toBeFocused();
  await expect(page.getByLabel("Budget in 4 weeks")).toHaveAccessibleDescription(/must be a number from 0 .* is -2/);
  await checkAxe(page);
  await page.getByLabel("Budget in 4 weeks").fill("");
  await page.getByLabel("Weeks to play").selectOption("8");
  await page.getByRole("button", { name: "Play the weeks" }).click();
  await expect(page.locator(".status")).toHaveText("8 weeks played.");

  // The same household in the other view.
  await page.getByRole("link", { name: "Household" }).click();
  await expect(page.locator(".cards > li").first()).toContainText("Why");
});

test("what cannot be played is said, and the next try succeeds", async ({ page }) => {
  await page.emulateMedia({ reducedMotion: "reduce" });
  await page.goto("app/#/what-if");
  // Three weeks are too few for twelve.
  const rows = ["date,item,price", ...[1, 4, 8, 11, 15, 18, 22].map((day) => `2026-09-${String(day).padStart(2, "0")},Milk,1.99`)];
  await page.locator("input[type=file]").setInputFiles({ name: "short.csv", mimeType: "text/csv", buffer: Buffer.from(rows.join("\n")) });
  await expect(page.locator("#weeks")).toHaveAccessibleDescription(new RegExp("use at most 3"));
  await page.locator("#weeks").selectOption("1");
  await page.getByRole("button", { name: "Play the weeks" }).click();
  await expect(page.locator(".status")).toHaveText("1 week played.");
  await page.getByRole("button", { name: "Use another file" }).click();
  await page.locator("input[type=file]").setInputFiles(EXAMPLE);
  await expect(page.locator(".verdict")).toContainText("in 1 week.");
  await page.getByLabel("Budget in 4 weeks").fill("much");
  await page.getByRole("button", { name: "Play the weeks" }).click();
  await expect(page.getByLabel("Budget in 4 weeks")).toHaveAccessibleDescription(/Give an amount/);
  // The last answer stays.
  await expect(page.locator(".verdict")).toContainText("in 1 week.");
  await page.getByLabel("Budget in 4 weeks").fill("0.1");
  await page.getByRole("button", { name: "Play the weeks" }).click();
  await expect(page.getByRole("note")).toContainText("The budget is too small");
  await expect(page.locator(".verdict")).toHaveText("Nothing was worth a subscription on that day.");
  await checkAxe(page);
});

test("pictures of What if", async ({ page }) => {
  await page.emulateMedia({ reducedMotion: "reduce" });
  await page.setViewportSize({ width: 1280, height: 1000 });
  await page.goto("app/#/what-if");
  await page.locator("input[type=file]").setInputFiles(EXAMPLE);
  await expect(page.locator(".status")).toHaveText("12 weeks played.");
  await expect(page.locator(".at-home .plot svg").first()).toBeVisible();
  await page.locator(".weekly").scrollIntoViewIfNeeded();
  await expect(page.locator(".what-if .panel .plot svg")).toBeVisible();
  await page.evaluate(() => scrollTo(0, 0));
  await page.waitForTimeout(600);
  await picture(page, "what-if-light", { fullPage: true });
  await page.emulateMedia({ colorScheme: "dark" });
  await picture(page, "what-if-dark");
  await checkAxe(page);
  await page.setViewportSize({ width: 360, height: 740 });
  await page.waitForTimeout(400);
  await picture(page, "what-if-phone", { fullPage: true });
  expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(360);
});
