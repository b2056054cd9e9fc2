import { expect, test } from "vitest";
import { Latest } from "../../src/state/latest.js";

const settled = (): Promise<void> => new Promise((resolve) => setTimeout(resolve));

test("one call is in flight, the newest waiting one replaces others, older answers are dropped", async () => {
  const calls: { input: number; answer: (output: string) => void }[] = [];
  const answers: string[] = [];
  const latest = new Latest<number, string>(
    (input) => new Promise((answer) => calls.push({ input, answer })),
    (output) => answers.push(output),
    () => {},
  );
  for (const input of [1, 2, 3, 4]) latest.request(input);
  expect(calls.map(({ input }) => input)).toEqual([1]);
  calls[0]!.answer("one");
  await settled();
  expect(calls.map(({ input }) => input)).toEqual([1, 4]);
  calls[1]!.answer("four");
  await settled();
  expect(answers).toEqual(["four"]);
  expect(latest.isBusy).toBe(false);
});

test("a canceled call answers nothing", async () => {
  const answers: string[] = [];
  let answer = (_: string): void => {};
  const latest = new Latest<number, string>(
    () => new Promise((resolve) => (answer = resolve)),
    (output) => answers.push(output),
    () => {},
  );
  latest.request(1);
  latest.cancel();
  answer("late");
  await settled();
  expect(answers).toEqual([]);
});
