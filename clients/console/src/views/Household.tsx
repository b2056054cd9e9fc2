import { signal } from "@preact/signals";
import { NotFoundError, PantreeError, type ProcessResult } from "pantree-client";
import { useEffect, useRef, useState } from "preact/hooks";
import { asksForKey, client, processHousehold, readFile, type FileOptions, type FileReport, type Source } from "../api.js";
import { csvOf, download } from "../csv/write.js";
import { dayOfText, longDay } from "../format.js";
import { Answer } from "../parts/answer.js";
import { announce } from "../parts/live.js";
import { Problem } from "../parts/problem.js";
import { dateQuestion, onlyRowsAreWrong, remarkRows } from "../state/faults.js";
import { Latest } from "../state/latest.js";
import type { Wishes } from "../state/plan.js";
import { archetypes, catalog, config, loadSession } from "../state/session.js";
import { exampleBasket, requestOf } from "../state/basket.js";
import { texts } from "../texts/index.js";

const words = texts.household;
const MAX_MIB = 16;
// Roles that people recognize, in this order; the reader knows more.
const ROLES = ["date", "item", "price", "quantity", "total", "paid", "saving", "category", "household"];
const DETECT: FileOptions = { columns: {}, dateFormat: "", decimal: "", household: "", leaveOutInvalid: false };
const SHOWN_REMARKS = 5;
const FREE: Wishes = { tolerance: 0.5, budget: "", boxes: "", weekday: "" };

type Step = "none" | "reading" | "unreadable" | "thinking" | "done";

const file = signal<File | null>(null);
const options = signal<FileOptions>(DETECT);
const report = signal<FileReport | null>(null);
const result = signal<ProcessResult | null>(null);
const step = signal<Step>("none");
const failure = signal<unknown>(null);
const source = signal<Source | null>(null);
const wishes = signal<Wishes>(FREE);
let current: AbortController | null = null;

// While the slider moves, one request is in flight and the newest value waits.
const answers = new Latest<{ source: Source; wishes: Wishes }, ProcessResult>(
  (input, abort) => processHousehold(input.source, input.wishes, abort),
  (found) => {
    result.value = found;
    failure.value = null;
    step.value = "done";
    announce(texts.plan.shown(found.recommendations.recommendations.length, found.recommendations.recommendations.length));
  },
  (error) => {
    step.value = result.value ? "done" : "none";
    if (!asksForKey(error)) failure.value = error;
  },
);

function answer(): void {
  if (!source.value) return;
  step.value = "thinking";
  failure.value = null;
  answers.request({ source: source.value, wishes: wishes.value });
}

async function read(next: FileOptions): Promise<void> {
  current?.abort();
  const controller = (current = new AbortController());
  const chosen = file.value;
  if (!chosen) return;
  options.value = next;
  step.value = "reading";
  failure.value = null;
  announce(words.reading);
  try {
    const found = await readFile(chosen, next, controller.signal);
    report.value = found;
    if (found.problems.length) {
      step.value = "unreadable";
      announce(words.cannotRead(found.problem_count));
      return;
    }
    announce(words.thinking);
    const name = found.household || chosen.name.replace(/\.[^.]*$/, "") || "household";
    const id = name.replace(/[\p{C}]/gu, "").trim().slice(0, 128) || "household";
    source.value = { customerId: id, report: found };
    answer();
  } catch (error) {
    if (controller.signal.aborted) return;
    step.value = result.value ? "done" : "none";
    if (!asksForKey(error)) failure.value = error;
  }
}

function takeStored(customerId: string): void {
  source.value = { customerId, report: null };
  answer();
}

function take(chosen: File): void {
  answers.cancel();
  source.value = null;
  report.value = null;
  result.value = null;
  failure.value = null;
  if (chosen.size === 0 || chosen.size > MAX_MIB << 20) {
    file.value = null;
    step.value = "none";
    failure.value = new Error(chosen.size === 0 ? words.empty : words.tooLarge(MAX_MIB));
    return;
  }
  file.value = chosen;
  void read(DETECT);
}

/** A simulated year as a file, for those without one at hand. */
async function takeExample(): Promise<void> {
  step.value = "reading";
  failure.value = null;
  try {
    await loadSession();
    const shopper = archetypes.value?.archetypes.find((one) => one.id === archetypes.value?.default_archetype);
    if (!shopper || !config.value) return;
    const lines = exampleBasket(shopper.category_weights.map((weight) => weight.category), catalog.value);
    const wish = { lines, archetype: shopper.id, months: "12", seed: "", day: "" };
    const rows: (string | number)[][] = [["date", "item", "category", "quantity", "price", "saving"]];
    for await (const event of client().stream(requestOf(wish, 8))) {
      if (event.type !== "monthly_update") continue;
      for (const line of event.data.purchases) {
        rows.push([line.date, line.name, line.category, line.quantity ?? 1, line.price ?? 0, line.saving]);
      }
    }
    take(new File([csvOf(rows)], words.exampleName, { type: "text/csv" }));
  } catch (error) {
    step.value = "none";
    if (!asksForKey(error)) failure.value = error;
  }
}

function forget(): void {
  current?.abort();
  answers.cancel();
  source.value = null;
  wishes.value = FREE;
  file.value = null;
  report.value = null;
  result.value = null;
  failure.value = null;
  options.value = DETECT;
  step.value = "none";
}

export function Household() {
  const found = report.value;
  const shown = result.value;
  const error = failure.value;
  return (
    <div class="household">
      <h1>{words.title}</h1>
      {!file.value && <p class="intro screen">{words.intro}</p>}
      {error !== null && (
        error instanceof NotFoundError
          ? <div class="problem" role="alert"><p>{words.storedNone}</p></div>
          : error instanceof PantreeError
          ? <Problem error={error} onRetry={source.value ? answer : file.value ? () => void read(options.value) : undefined} />
          : <div class="problem" role="alert"><p>{error instanceof Error ? error.message : String(error)}</p></div>
      )}
      {file.value ? <FilePanel /> : <DropZone />}
      {!file.value && <Stored />}
      {result.value && step.value !== "unreadable" && <Controls />}
      {(step.value === "reading" || step.value === "thinking") && !result.value && (
        <p class="status" data-phase="running">{step.value === "reading" ? words.reading : words.thinking}</p>
      )}
      {step.value === "unreadable" && found && <Unreadable report={found} />}
      {shown && step.value !== "unreadable" && (
        <div class={step.value === "done" ? "" : "earlier"} aria-busy={step.value !== "done"}>
          {shown.history_summary && (
            <p>
              {words.summary(
                shown.history_summary.trip_count,
                shown.history_summary.item_count,
                longDay(dayOfText(shown.history_summary.first_date)),
                longDay(dayOfText(shown.history_summary.last_date)),
              )}
            </p>
          )}
          <Answer result={shown} />
        </div>
      )}
    </div>
  );
}

function Controls() {
  const now = wishes.value;
  const set = (part: Partial<Wishes>): void => {
    wishes.value = { ...now, ...part };
    answer();
  };
  return (
    <div class="panel screen wishes">
      <div class="doubt">
        <label for="doubt">{words.doubt}</label>
        <span aria-hidden="true">{words.doubtMore}</span>
        <input id="doubt" type="range" min="0.1" max="0.9" step="0.05" value={now.tolerance}
          aria-valuetext={words.doubtText(now.tolerance)}
          onInput={(event) => set({ tolerance: Number(event.currentTarget.value) })} />
        <span aria-hidden="true">{words.doubtLess}</span>
      </div>
      <label>
        {words.budget}
        <input class="short" inputMode="decimal" autocomplete="off" placeholder={words.any} value={now.budget}
          onInput={(event) => set({ budget: event.currentTarget.value })} />
      </label>
      <label>
        {words.boxes}
        <select value={now.boxes} onChange={(event) => set({ boxes: event.currentTarget.value })}>
          <option value="">{words.any}</option>
          {[1, 2, 3, 4, 6, 8].map((count) => <option key={count} value={String(count)}>{count}</option>)}
        </select>
      </label>
      <label>
        {words.day}
        <select value={now.weekday} onChange={(event) => set({ weekday: event.currentTarget.value })}>
          <option value="">{words.any}</option>
          {words.weekdays.map((day, at) => <option key={day} value={String(at + 1)}>{day}</option>)}
        </select>
      </label>
      <p class="soft">{words.wishesHint}</p>
    </div>
  );
}

/** Only with a history service, which is an optional part. */
function Stored() {
  const [id, setId] = useState("");
  useEffect(() => {
    void loadSession();
  }, []);
  if (!config.value?.components.some(({ name, enabled }) => name === "history" && enabled)) return null;
  return (
    <form class="stored" onSubmit={(event) => { event.preventDefault(); if (id.trim()) takeStored(id.trim()); }}>
      <label for="stored">{words.stored}</label>
      <input id="stored" class="short" maxLength={128} autocomplete="off" value={id} onInput={(event) => setId(event.currentTarget.value)} />
      <button type="submit">{words.storedUse}</button>
    </form>
  );
}

function DropZone() {
  const [isOver, setOver] = useState(false);
  const input = useRef<HTMLInputElement>(null);
  // A file that misses the zone must not replace the page.
  useEffect(() => {
    const keep = (event: Event): void => event.preventDefault();
    const names = ["dragover", "drop"] as const;
    for (const name of names) addEventListener(name, keep);
    return () => {
      for (const name of names) removeEventListener(name, keep);
    };
  }, []);
  return (
    <div
      class={`drop${isOver ? " over" : ""}`}
      onDragOver={(event) => { event.preventDefault(); setOver(true); }}
      onDragLeave={() => setOver(false)}
      onDrop={(event) => {
        event.preventDefault();
        setOver(false);
        const dropped = event.dataTransfer?.files[0];
        if (dropped) take(dropped);
      }}
    >
      <p>
        {words.drop}{" "}
        <label class="choose">
          <input ref={input} type="file" class="unseen" accept=".csv,.tsv,.txt,.xlsx,.parquet,.json,.jsonl,.ndjson"
            onChange={(event) => { const chosen = event.currentTarget.files?.[0]; if (chosen) take(chosen); }} />
          <span>{words.choose}</span>
        </label>
      </p>
      <p class="soft">{words.formats}</p>
      <button type="button" class="plain" onClick={() => void takeExample()} disabled={step.value === "reading"}>
        {words.example}
      </button>
    </div>
  );
}

function FilePanel() {
  const found = report.value;
  const isRead = found !== null && found.problems.length === 0;
  return (
    <section class="panel screen" aria-label={file.value?.name}>
      <div class="bar">
        <p>
          <strong><bdi>{file.value?.name}</bdi></strong>{" "}
          {isRead && words.readAs(found.layout || found.kind, found.history_columns.days.length)}
        </p>
        <button type="button" onClick={forget}>{words.again}</button>
      </div>
      {isRead && <Remarks report={found} />}
      {found && found.header.length > 0 && <Mapping report={found} />}
    </section>
  );
}

function Mapping({ report: found }: { report: FileReport }) {
  const set = (part: Partial<FileOptions>): void => void read({ ...options.value, ...part });
  const columns = { ...found.columns, ...options.value.columns };
  return (
    <details open={found.problems.length > 0}>
      <summary>{words.columns}</summary>
      <p class="soft">{words.columnsHint}</p>
      <div class="mapping">
        {ROLES.map((role) => (
          <label key={role}>
            {words.roles[role]}
            <select value={columns[role] ?? ""} onChange={(event) =>
              set({ columns: { ...options.value.columns, [role]: event.currentTarget.value } })}>
              <option value="">{words.none}</option>
              {found.header.map((name, at) => <option key={at} value={name}>{name}</option>)}
            </select>
          </label>
        ))}
        <label>
          {words.dates}
          <select value={options.value.dateFormat} onChange={(event) => set({ dateFormat: event.currentTarget.value })}>
            {Object.entries(words.dateFormats).map(([format, name]) => <option key={format} value={format}>{name}</option>)}
          </select>
        </label>
        <label>
          {words.decimals}
          <select value={options.value.decimal} onChange={(event) => set({ decimal: event.currentTarget.value })}>
            {Object.entries(words.decimalSigns).map(([sign, name]) => <option key={sign} value={sign}>{name}</option>)}
          </select>
        </label>
        {found.households.length > 1 && (
          <label>
            {words.whichHousehold}
            <select value={found.household} onChange={(event) => set({ household: event.currentTarget.value })}>
              {found.households.map((one) => (
                <option key={one.id} value={one.id}>{words.householdOption(one.id, one.line_count)}</option>
              ))}
            </select>
          </label>
        )}
      </div>
    </details>
  );
}

function Unreadable({ report: found }: { report: FileReport }) {
  const question = dateQuestion(found);
  const set = (dateFormat: string): void => void read({ ...options.value, dateFormat });
  if (question) {
    const [day, month] = words.readings(
      longDay(dayOfText(question.dayFirst.iso)),
      longDay(dayOfText(question.monthFirst.iso)),
    );
    return (
      <div class="warning" role="group" aria-labelledby="date-question">
        <p id="date-question">{words.dateQuestion(question.text)}</p>
        <div class="actions">
          <button type="button" onClick={() => set(question.dayFirst.format)}>{day}</button>
          <button type="button" onClick={() => set(question.monthFirst.format)}>{month}</button>
        </div>
      </div>
    );
  }
  const shown = found.problems.slice(0, SHOWN_REMARKS);
  return (
    <div class="problem" role="alert">
      <p>{words.cannotRead(found.problem_count)}</p>
      <ul>
        {shown.map(({ field, message }, at) => (
          <li key={at}><strong><bdi>{field}</bdi></strong> <bdi>{message}</bdi></li>
        ))}
      </ul>
      {onlyRowsAreWrong(found) && (
        <button type="button" class="main" onClick={() => void read({ ...options.value, leaveOutInvalid: true })}>
          {words.leaveOut}
        </button>
      )}
    </div>
  );
}

function Remarks({ report: found }: { report: FileReport }) {
  if (found.remarks.length === 0) return null;
  const total = found.remarks.reduce((sum, { line_count }) => sum + Math.max(1, line_count), 0);
  return (
    <details open={found.remarks.length <= 2}>
      <summary>{words.remarks(total)}</summary>
      <ul>
        {found.remarks.slice(0, SHOWN_REMARKS).map(({ kind, text, lines, line_count }, at) => (
          <li key={at}>
            <strong>{words.kinds[kind] ?? kind}</strong>, {words.remarkLines(lines.slice(0, 5), line_count - 5)}:{" "}
            <bdi>{text}</bdi>
          </li>
        ))}
      </ul>
      <button type="button" onClick={() => download("remarks.csv", csvOf([["line", "what", "why"], ...remarkRows(found)]))}>
        {words.downloadRemarks}
      </button>
    </details>
  );
}
