import { signal } from "@preact/signals";
import type { ProcessResult } from "pantree-client";
import { useEffect } from "preact/hooks";
import { asksForKey, processHousehold, type Source } from "../api.js";
import { dayOfText, longDay } from "../format.js";
import { Answer, type Changes } from "../parts/answer.js";
import { HouseholdChoice, HouseholdProblem, WishFields } from "../parts/household.js";
import { announce } from "../parts/live.js";
import { file, monthCost, source, step, wishes } from "../state/household.js";
import { Latest } from "../state/latest.js";
import type { Wishes } from "../state/plan.js";
import { texts } from "../texts/index.js";

const words = texts.household;

// Delay after the last change before cadence changes are requested.
const SETTLED_MS = 400;

interface Question {
  source: Source;
  wishes: Wishes;
  withChanges: boolean;
}

const result = signal<ProcessResult | null>(null);
const changes = signal<Changes>("pending");
const isThinking = signal(false);
const failure = signal<unknown>(null);
let asked: Question | null = null;
let settled: ReturnType<typeof setTimeout> | undefined;

// While the slider moves, one request is in flight and the newest value waits.
const answers = new Latest<Question, ProcessResult>(
  (input, abort) => processHousehold(input.source, input.wishes, input.withChanges, abort),
  (found) => {
    result.value = found;
    failure.value = null;
    isThinking.value = false;
    if (!wishes.value.budget.trim()) monthCost.value = found.recommendations.plan?.max_month_cost ?? 0;
    const question = asked;
    changes.value = question?.withChanges ? "known" : "pending";
    if (!question || question.withChanges) return;
    announce(texts.plan.shown(found.recommendations.recommendations.length, found.recommendations.recommendations.length));
    settled = setTimeout(() => {
      asked = { ...question, withChanges: true };
      answers.request(asked);
    }, SETTLED_MS);
  },
  (error) => {
    if (asked?.withChanges) {
      // The answer itself is there.
      changes.value = "unknown";
      return;
    }
    isThinking.value = false;
    if (asksForKey(error)) asked = null;
    else failure.value = error;
  },
);

function ask(question: Question): void {
  clearTimeout(settled);
  // Nobody waits for the changes of an earlier answer.
  if (asked?.withChanges) answers.cancel();
  if (question.source !== asked?.source) announce(words.thinking);
  asked = question;
  isThinking.value = true;
  failure.value = null;
  answers.request(question);
}

function clear(): void {
  clearTimeout(settled);
  answers.cancel();
  asked = null;
  result.value = null;
  failure.value = null;
  isThinking.value = false;
}

export function Household() {
  const household = source.value;
  const wanted = wishes.value;
  // Also when the household or its wishes were changed in another view.
  useEffect(() => {
    if (!household) clear();
    else if (asked?.source !== household || asked.wishes !== wanted) ask({ source: household, wishes: wanted, withChanges: false });
  }, [household, wanted]);
  const shown = household && step.value !== "unreadable" ? result.value : null;
  const isBusy = step.value === "reading" || isThinking.value;
  return (
    <div class="household">
      <h1>{words.title}</h1>
      {!file.value && <p class="intro screen">{words.intro}</p>}
      {failure.value !== null && (
        <HouseholdProblem error={failure.value} onRetry={household ? () => ask({ source: household, wishes: wanted, withChanges: false }) : undefined} />
      )}
      <HouseholdChoice />
      {shown && (
        <div class="panel screen wishes">
          <WishFields />
          <p class="soft">{words.wishesHint}</p>
        </div>
      )}
      {isBusy && !shown && (
        <p class="status" data-phase="running">{step.value === "reading" ? words.reading : words.thinking}</p>
      )}
      {shown && (
        <div class={isBusy ? "earlier" : ""} aria-busy={isBusy}>
          {shown.history_summary && (
            <p>
              {words.summary(
                shown.history_summary.trip_count,
                shown.history_summary.item_count,
                longDay(dayOfText(shown.history_summary.first_date)),
                longDay(dayOfText(shown.history_summary.last_date)),
              )}{" "}
              {words.planFrom}
            </p>
          )}
          <Answer result={shown} changes={changes.value} />
        </div>
      )}
    </div>
  );
}
