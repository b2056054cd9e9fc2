/** Questions that a file leaves open, from what the gateway says about it. */
import type { FileReport } from "../api.js";

export interface DateQuestion {
  text: string;
  dayFirst: { format: string; iso: string };
  monthFirst: { format: string; iso: string };
}

/** The day or month question of a file, with both readings of one of its dates; null if it has none. */
export function dateQuestion(report: FileReport): DateQuestion | null {
  for (const { message } of report.problems) {
    const found = /^'((\d{1,2})([-/.]) ?(\d{1,2})\3 ?(\d{2}|\d{4}))\b.*' may have the day or the month first/.exec(message);
    if (!found) continue;
    const [, text = "", first = "", sign = "/", second = "", year = ""] = found;
    const yearFormat = year.length === 2 ? "%y" : "%Y";
    const fullYear = year.length === 2 ? `20${year}` : year;
    const iso = (month: string, day: string): string => `${fullYear}-${month.padStart(2, "0")}-${day.padStart(2, "0")}`;
    return {
      text,
      dayFirst: { format: ["%d", "%m", yearFormat].join(sign), iso: iso(second, first) },
      monthFirst: { format: ["%m", "%d", yearFormat].join(sign), iso: iso(first, second) },
    };
  }
  return null;
}

/** Roles that a file of purchases must have and this one lacks. */
export function missingRoles(report: FileReport): ("date" | "item")[] {
  if (report.problems.length === 0 || report.header.length < 2) return [];
  const dates = ["date", "days_since", "day_number"];
  return [
    ...(dates.some((role) => role in report.columns) ? [] : ["date" as const]),
    ...("item" in report.columns || "item_id" in report.columns ? [] : ["item" as const]),
  ];
}

/** Some of what a column of the file holds. */
export function samplesOf(report: FileReport, column: string): string[] {
  const at = report.header.indexOf(column);
  return at < 0 ? [] : [...new Set(report.first_rows.map((row) => row[at] ?? ""))].filter((text) => text !== "");
}

/** A message of the reader, with the options of the command line replaced by what this page has. */
export function plainMessage(message: string, roles: Readonly<Record<string, string>>): string {
  return message
    .replace(/;? ?give --as-of [\d-]+ for deliveries from today on/, "")
    .replace(/\.? ?Give (it|a column), such as --map \w+=COLUMN/, ". Choose it under Columns")
    .replace(/, such as --currency (\w+)/, " under Columns, such as $1")
    .replace(/give --map (\w+)=COLUMN/g, (_, role: string) => `choose the column of "${roles[role] ?? role}"`)
    .replace(/--map (\w+)=COLUMN/g, (_, role: string) => `that of "${roles[role] ?? role}"`);
}

/** Whether rows alone are wrong, so that the rest of the file can go on without them. */
export function onlyRowsAreWrong(report: FileReport): boolean {
  return (
    report.problems.length > 0 &&
    report.problems.every(({ field }) => field === "" || /^line \d+, /.test(field)) &&
    report.problems.every(({ message }) => !/may have|another (order|decimal)|header|column/.test(message)) &&
    report.header.length > 0
  );
}

export function remarkRows(report: FileReport): (string | number)[][] {
  return report.remarks.flatMap(({ kind, text, lines }) =>
    lines.length ? lines.map((line) => [line, kind, text]) : [["", kind, text]],
  );
}
