import { expect, test } from "vitest";
import { fileQuery, type FileReport } from "../../src/api.js";
import { csvOf } from "../../src/csv/write.js";
import { dateQuestion, missingRoles, onlyRowsAreWrong, plainMessage, samplesOf } from "../../src/state/faults.js";

const report = (...problems: [string, string][]): FileReport => ({
  problems: problems.map(([field, message]) => ({ field, message })), problem_count: problems.length,
  first_rows: [], header: ["date", "item"], layout: "", kind: "", dates: "", decimal: "", columns: {}, remarks: [], currency_code: "",
  has_prices: false, households: [], household: "",
  history_columns: { item_names: [], item_categories: [], item_indices: [], days: [], quantities: [], prices: [], savings: [] },
});

test.each([
  ["'03/04/26'", "%d/%m/%y", "2026-04-03", "%m/%d/%y", "2026-03-04"],
  ["'3-4-2026'", "%d-%m-%Y", "2026-04-03", "%m-%d-%Y", "2026-03-04"],
])("the question of %s has both readings", (text, dayFormat, day, monthFormat, month) => {
  const message = `${text} may have the day or the month first; give the date format, such as %d/%m/%Y or %m/%d/%Y`;
  const question = dateQuestion(report(["line 2, date", message]));
  expect(question?.dayFirst).toEqual({ format: dayFormat, iso: day });
  expect(question?.monthFirst).toEqual({ format: monthFormat, iso: month });
});

test("only wrong rows can be left out", () => {
  const rows = report(["line 5, price", "must be a number such as 1.99; is 'x'"], ["", "and 3 more"]);
  expect(onlyRowsAreWrong(rows)).toBe(true);
  expect(onlyRowsAreWrong(report(["line 1", "must name the columns date and item"]))).toBe(false);
  expect(onlyRowsAreWrong(report(["line 2, date", "'03/04/26' may have the day or the month first"]))).toBe(false);
  expect(onlyRowsAreWrong(report())).toBe(false);
});

test("columns that are missing are asked for, with what columns hold", () => {
  const refused = report(["line 1", "must name the columns date and item"]);
  expect(missingRoles(refused)).toEqual(["date", "item"]);
  const found = { ...refused, columns: { date: "when" }, header: ["when", "what"], first_rows: [["2026-05-01", "Milk"], ["2026-05-01", ""]] };
  expect(missingRoles(found)).toEqual(["item"]);
  expect(samplesOf(found, "when")).toEqual(["2026-05-01"]);
  expect(samplesOf(found, "what")).toEqual(["Milk"]);
  expect(missingRoles({ ...refused, header: ["dear diary"] })).toEqual([]);
  expect(missingRoles(report())).toEqual([]);
});

test.each([
  ["as of that day; give --as-of 2026-11-30 for deliveries from today on", "as of that day"],
  ["holds numbers. Give it, such as --map item=COLUMN", "holds numbers. Choose it under Columns"],
  ["choose the lines to read, such as --currency EUR", "choose the lines to read under Columns, such as EUR"],
  ["give --map saving=COLUMN for amounts off the line, or --map saving_percent=COLUMN",
    'choose the column of "Amount off" for amounts off the line, or that of "Percent off"'],
])("no option of the command line is shown: %s", (message, text) => {
  expect(plainMessage(message, { saving: "Amount off", saving_percent: "Percent off" })).toBe(text);
});

test("a query names what was given only", () => {
  const none = { columns: {}, dateFormat: "", decimal: "", currency: "", household: "", leaveOutInvalid: false };
  expect(fileQuery(none)).toBe("");
  const query = new URLSearchParams(fileQuery({ ...none, columns: { date: "Order Date", price: "" }, leaveOutInvalid: true }));
  expect(query.getAll("column")).toEqual(["date=Order Date", "price="]);
  expect(query.get("leave_out_invalid")).toBe("true");
});

test("cells that a spreadsheet would run are text, and others as they are", () => {
  expect(csvOf([["=1+1", "-5", -5, 'a "b", c', "<script>", "@x"]])).toBe(
    `\ufeff'=1+1,'-5,-5,"a ""b"", c",<script>,'@x\r\n`,
  );
});
