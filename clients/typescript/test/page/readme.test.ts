// The example of README.md that uses the DOM: it shows the progress of the stream, then the recommendations.
import { expect, test, vi } from "vitest";

const examples = import.meta.glob("../readme/page-*.ts");

test.each(Object.entries(examples))("%s shows progress and recommendations", async (_name, run) => {
  document.body.innerHTML = "<progress max='100' value='0'></progress><p></p><ul></ul>";
  const seen: number[] = [];
  const months: string[] = [];
  const observer = new MutationObserver(() => {
    seen.push(document.querySelector("progress")!.value);
    months.push(document.querySelector("p")!.textContent ?? "");
  });
  observer.observe(document.body, { attributes: true, childList: true, subtree: true });
  await run();
  await vi.waitFor(() => expect(document.querySelectorAll("li").length).toBeGreaterThan(0));
  observer.disconnect();
  expect(Math.max(...seen)).toBe(100);
  expect(months.some((text) => /^[A-Z][a-z]+ \d{4}$/.test(text))).toBe(true);
  expect(document.querySelector("li")!.textContent).toMatch(/ (weekly|biweekly|every_3_weeks|monthly|every_6_weeks|bimonthly|quarterly)/);
});
