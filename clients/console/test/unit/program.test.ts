import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { predictionsChart } from "../../src/charts/predictions.js";
import { categoryOf, itemsOf, readReport, type Report } from "../../src/state/program.js";

const TEXT = readFileSync(new URL("../report.json", import.meta.url), "utf8");
const report = readReport(TEXT) as Report;

test("a report is read, and what is none is refused with its reason", () => {
  expect(report.household_count).toBe(300);
  expect(readReport("date,item\n")).toBe("unreadable");
  expect(readReport("null")).toBe("other");
  expect(readReport(JSON.stringify({ format: 1, run_id: "2026-11-30-0" }))).toBe("other");
  expect(readReport(JSON.stringify({ ...report, format: 2 }))).toBe("newer");
});

test("categories narrow the items", () => {
  const dairy = itemsOf(report, "dairy");
  expect(dairy.length).toBeGreaterThan(0);
  expect(dairy.length).toBeLessThan(itemsOf(report, "").length);
  expect(new Set(dairy.map(({ category }) => category))).toEqual(new Set(["dairy"]));
  expect(categoryOf(report, "dairy")?.subscription_count).toBe(223);
  expect(categoryOf(report, "")).toBeNull();
});

test("classes without offers are no points", () => {
  const classes = report.predictions["probability"]!;
  const chart = predictionsChart(classes);
  expect(chart.points).toHaveLength(classes.filter(({ judged_count }) => judged_count > 0).length);
  expect(chart.sentence).toContain("1,765 offers");
  expect(chart.rows[2]).toEqual(["67%", "70%", "64% to 74%", "503"]);
  expect(predictionsChart([]).points).toEqual([]);
});
