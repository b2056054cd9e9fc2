import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { checkAxe, expect, picture, test } from "./page.js";

const REPORT = fileURLToPath(new URL("../report.json", import.meta.url));

test("a report is shown, by category too, and a file that is none is refused", async ({ page }) => {
  await page.goto("app/#/program");
  await checkAxe(page);
  const chooser = page.locator("input[type=file]");
  await chooser.setInputFiles({ name: "list.csv", mimeType: "text/csv", buffer: Buffer.from("date,item\n") });
  await expect(page.getByRole("alert")).toContainText("This file is not JSON.");
  await chooser.setInputFiles({ name: "manifest.json", mimeType: "application/json", buffer: Buffer.from('{"format": 1}') });
  await expect(page.getByRole("alert")).toContainText("not the report of a backtest");
  await chooser.setInputFiles(REPORT);
  await expect(page.getByRole("alert")).toHaveCount(0);
  await expect(page.locator(".bar p")).toHaveText("Plans of Sep 6, 2026, replayed for 12 weeks in 300 households.");
  await expect(page.locator(".figures").first()).toContainText("91%");
  await expect(page.locator(".program .plot svg")).toBeVisible();
  await checkAxe(page);

  await page.getByRole("button", { name: "Dairy" }).click();
  await expect(page.locator(".figures").first()).toContainText("223");
  await expect(page.locator("table.items tbody tr").first()).toBeVisible();
  await expect(page.locator(".program .plot")).toHaveCount(0);
  await checkAxe(page);
  await page.getByLabel("Category").selectOption("");
  await page.getByRole("button", { name: "Show 20 more" }).click();
  await expect(page.locator("table.items tbody tr")).toHaveCount(40);
});

test("names in a report appear as they are", async ({ page }) => {
  const report = JSON.parse(readFileSync(REPORT, "utf8"));
  const name = '<script>alert(1)</script> "[/6 pieces]" حليب';
  report.items[0].item = name;
  await page.goto("app/#/program");
  await page.locator("input[type=file]").setInputFiles({ name: "report.json", mimeType: "application/json", buffer: Buffer.from(JSON.stringify(report)) });
  await expect(page.locator("table.items tbody th").first()).toHaveText(name);
});

test("pictures of Program", async ({ page }) => {
  await page.goto("app/#/program");
  await page.locator("input[type=file]").setInputFiles(REPORT);
  await expect(page.locator(".program .plot svg")).toBeVisible();
  await picture(page, "program-light", { fullPage: true });
  await page.emulateMedia({ colorScheme: "dark" });
  await checkAxe(page);
  await picture(page, "program-dark", { fullPage: true });
  await page.setViewportSize({ width: 360, height: 740 });
  await picture(page, "program-phone", { fullPage: true });
  expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(360);
});
