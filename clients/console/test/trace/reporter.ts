import type { Reporter, TestCase, TestResult } from "@playwright/test/reporter";

/** Prints what the measurements print, and nothing else. */
export default class Plain implements Reporter {
  onStdOut(chunk: string | Buffer): void {
    process.stdout.write(chunk);
  }

  onTestEnd(test: TestCase, result: TestResult): void {
    for (const { message } of result.errors) console.error(`${test.title}: ${message ?? ""}`);
  }
}
