/** How a household gets onto the page: a file with its columns and remarks, an example, or a stored customer. */
import { NotFoundError, PantreeError } from "pantree-client";
import { useEffect, useState } from "preact/hooks";
import type { FileOptions, FileReport } from "../api.js";
import { csvOf, download } from "../csv/write.js";
import { dayOfText, longDay } from "../format.js";
import { dateQuestion, onlyRowsAreWrong, remarkRows } from "../state/faults.js";
import { file, fileError, forget, options, read, report, step, take, takeExample, takeStored, wishes } from "../state/household.js";
import type { Wishes } from "../state/plan.js";
import { config, loadSession } from "../state/session.js";
import { texts } from "../texts/index.js";
import { Drop } from "./drop.js";
import { Problem } from "./problem.js";

const words = texts.household;
// Roles that people recognize, in this order; the reader knows more.
const ROLES = ["date", "item", "price", "quantity", "total", "paid", "saving", "category", "household"];
const SHOWN_REMARKS = 5;

/** Everything before an answer. */
export function HouseholdChoice() {
  return (
    <>
      {fileError.value !== null && <HouseholdProblem error={fileError.value} onRetry={file.value ? () => void read(options.value) : undefined} />}
      {file.value ? <FilePanel /> : <DropZone />}
      {!file.value && <Stored />}
      {step.value === "unreadable" && report.value && <Unreadable report={report.value} />}
    </>
  );
}

export function HouseholdProblem({ error, onRetry }: { error: unknown; onRetry: (() => void) | undefined }) {
  if (error instanceof PantreeError && !(error instanceof NotFoundError)) return <Problem error={error} onRetry={onRetry} />;
  const text = error instanceof NotFoundError ? words.storedNone : error instanceof Error ? error.message : String(error);
  return <div class="problem" role="alert"><p>{text}</p></div>;
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
  return (
    <Drop text={words.drop} choose={words.choose} accept=".csv,.tsv,.txt,.xlsx,.parquet,.json,.jsonl,.ndjson" onFile={take}>
      <p class="soft">{words.formats}</p>
      <button type="button" class="plain" onClick={() => void takeExample()} disabled={step.value === "reading"}>
        {words.example}
      </button>
    </Drop>
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

const NO_FAULTS: ReadonlyMap<string, string> = new Map();

/** What the household demands of its plan. Faults are by field: `doubt`, `budget`, `boxes`, `day`. */
export function WishFields({ faults = NO_FAULTS }: { faults?: ReadonlyMap<string, string> }) {
  const now = wishes.value;
  const set = (part: Partial<Wishes>): void => {
    wishes.value = { ...now, ...part };
  };
  return (
    <>
      <div class="doubt">
        <label for="doubt">{words.doubt}</label>
        <span aria-hidden="true">{words.doubtMore}</span>
        <input id="doubt" type="range" min="0.1" max="0.9" step="0.05" value={now.tolerance}
          aria-valuetext={words.doubtText(now.tolerance)} {...faultOf("doubt", faults)}
          onInput={(event) => set({ tolerance: Number(event.currentTarget.value) })} />
        <span aria-hidden="true">{words.doubtLess}</span>
        <Fault id="doubt" faults={faults} />
      </div>
      <div class="wish">
        <label for="budget">{words.budget}</label>
        <input id="budget" class="short" inputMode="decimal" autocomplete="off" placeholder={words.any} value={now.budget}
          {...faultOf("budget", faults)} onInput={(event) => set({ budget: event.currentTarget.value })} />
        <Fault id="budget" faults={faults} />
      </div>
      <div class="wish">
        <label for="boxes">{words.boxes}</label>
        <select id="boxes" value={now.boxes} {...faultOf("boxes", faults)}
          onChange={(event) => set({ boxes: event.currentTarget.value })}>
          <option value="">{words.any}</option>
          {[1, 2, 3, 4, 6, 8].map((count) => <option key={count} value={String(count)}>{count}</option>)}
        </select>
        <Fault id="boxes" faults={faults} />
      </div>
      <div class="wish">
        <label for="day">{words.day}</label>
        <select id="day" value={now.weekday} {...faultOf("day", faults)}
          onChange={(event) => set({ weekday: event.currentTarget.value })}>
          <option value="">{words.any}</option>
          {words.weekdays.map((day, at) => <option key={day} value={String(at + 1)}>{day}</option>)}
        </select>
        <Fault id="day" faults={faults} />
      </div>
    </>
  );
}

/** Attributes of a field that is wrong; its fault is shown by `Fault`. */
export function faultOf(id: string, faults: ReadonlyMap<string, string>): { "aria-invalid"?: true; "aria-describedby"?: string } {
  return faults.has(id) ? { "aria-invalid": true, "aria-describedby": `${id}-fault` } : {};
}

export function Fault({ id, faults }: { id: string; faults: ReadonlyMap<string, string> }) {
  return faults.has(id) ? <p class="fault" id={`${id}-fault`}>{faults.get(id)}</p> : null;
}
