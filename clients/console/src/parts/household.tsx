/** How a household gets onto the page: a file with its columns and remarks, an example, or a stored customer. */
import { NotFoundError, PantreeError } from "pantree-client";
import { useEffect, useState } from "preact/hooks";
import type { FileOptions, FileReport } from "../api.js";
import { csvOf, download } from "../csv/write.js";
import { dayOfText, longDay } from "../format.js";
import { dateQuestion, missingRoles, onlyRowsAreWrong, plainMessage, remarkRows, samplesOf } from "../state/faults.js";
import { file, fileError, forget, monthCost, options, read, report, step, take, takeExample, takeStored, wishes } from "../state/household.js";
import { amountOf, type Wishes } from "../state/plan.js";
import { config, loadSession } from "../state/session.js";
import { texts } from "../texts/index.js";
import { Drop } from "./drop.js";
import { Problem } from "./problem.js";

const words = texts.household;
// Roles that people recognize, in this order; the reader knows more.
const ROLES = ["date", "item", "price", "quantity", "total", "paid", "saving", "saving_percent", "category", "household"];
const SHOWN_REMARKS = 5;
const CURRENCIES = ["EUR", "USD", "GBP", "CAD", "AUD", "CHF", "SEK", "NOK", "DKK", "PLN", "CZK", "JPY", "INR", "BRL", "MXN"];
// Steps of the slider of the budget.
const BUDGET_STEPS = 40;

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
      {isRead && found.households.length > 1 && <WhichHousehold report={found} />}
      {isRead && <Remarks report={found} />}
      {found && found.header.length > 0 && <Mapping report={found} />}
    </section>
  );
}

/** Open where the page needs or lacks something, which other columns may have. */
function isMappingNeeded(found: FileReport): boolean {
  if (found.problems.length === 0) return !found.has_prices;
  return missingRoles(found).length === 0 && !onlyRowsAreWrong(found) && !dateQuestion(found);
}

function Mapping({ report: found }: { report: FileReport }) {
  const set = (part: Partial<FileOptions>): void => void read({ ...options.value, ...part });
  const isNeeded = isMappingNeeded(found);
  const [isOpen, setOpen] = useState(isNeeded);
  // It stays open while it is used.
  useEffect(() => {
    if (isNeeded) setOpen(true);
  }, [isNeeded]);
  return (
    <details open={isOpen} onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>{words.columns}</summary>
      <p class="soft">{words.columnsHint}</p>
      <div class="mapping">
        {ROLES.map((role) => (
          <ColumnOf key={role} role={role} report={found} />
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
        <label>
          {words.currency}
          <input list="currencies" maxLength={3} autocomplete="off" placeholder={words.currencyHint}
            value={options.value.currency || found.currency_code} onChange={(event) =>
              set({ currency: event.currentTarget.value.trim().toUpperCase() })} />
          <datalist id="currencies">{CURRENCIES.map((code) => <option key={code} value={code} />)}</datalist>
        </label>
      </div>
    </details>
  );
}

/** Which column has a role, with some of what it holds. */
function ColumnOf({ role, report: found, none = words.none }: { role: string; report: FileReport; none?: string }) {
  const column = options.value.columns[role] ?? found.columns[role] ?? "";
  const samples = samplesOf(found, column).join(words.listSeparator);
  return (
    <label>
      {words.roles[role]}
      <select value={column} onChange={(event) =>
        void read({ ...options.value, columns: { ...options.value.columns, [role]: event.currentTarget.value } })}>
        <option value="">{none}</option>
        {found.header.map((name, at) => <option key={at} value={name}>{name}</option>)}
      </select>
      {samples && <span class="soft sample"><bdi>{samples}</bdi></span>}
    </label>
  );
}

function WhichHousehold({ report: found }: { report: FileReport }) {
  return (
    <label class="filter">
      {words.households(found.households.length)}
      <select class="short" value={found.household} onChange={(event) =>
        void read({ ...options.value, household: event.currentTarget.value })}>
        {found.households.map((one) => (
          <option key={one.id} value={one.id}>{words.householdOption(one.id, one.line_count)}</option>
        ))}
      </select>
    </label>
  );
}

/** The question which column has the date, and which the item, with the first rows of the file. */
function MissingRoles({ report: found }: { report: FileReport }) {
  return (
    <div class="warning" role="group" aria-labelledby="columns-question">
      <p id="columns-question"><strong>{words.columnsQuestion}</strong></p>
      <div class="mapping">
        <ColumnOf role="date" report={found} none={words.chooseColumn} />
        <ColumnOf role="item" report={found} none={words.chooseColumn} />
      </div>
      <p>{words.firstRows}</p>
      <div class="scroll" tabIndex={0} role="group" aria-label={words.firstRows}>
        <table>
          <thead>
            <tr>{found.header.map((name, at) => <th scope="col" key={at}><bdi>{name}</bdi></th>)}</tr>
          </thead>
          <tbody>
            {found.first_rows.map((row, at) => <tr key={at}>{row.map((cell, column) => <td key={column}><bdi>{cell}</bdi></td>)}</tr>)}
          </tbody>
        </table>
      </div>
    </div>
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
  if (missingRoles(found).length > 0) return <MissingRoles report={found} />;
  const problems = found.problems.map(({ field, message }) => ({ field, message: plainMessage(message, words.roles) }));
  const hasRows = onlyRowsAreWrong(found);
  return (
    <div class="problem" role="alert">
      <p>{hasRows ? words.wrongRows(found.problem_count) : words.cannotRead(found.problem_count)}</p>
      <ul>
        {problems.slice(0, SHOWN_REMARKS).map(({ field, message }, at) => (
          <li key={at}><strong><bdi>{field}</bdi></strong> <bdi>{message}</bdi></li>
        ))}
      </ul>
      <div class="actions">
        {hasRows && (
          <button type="button" class="main" onClick={() => void read({ ...options.value, leaveOutInvalid: true })}>
            {words.leaveOut}
          </button>
        )}
        {problems.length > SHOWN_REMARKS && (
          <button type="button" onClick={() =>
            download("problems.csv", csvOf([["where", "what"], ...problems.map(({ field, message }) => [field, message])]))}>
            {words.downloadProblems(problems.length)}
          </button>
        )}
      </div>
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
            <bdi>{plainMessage(text, words.roles)}</bdi>
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
        <input id="doubt" type="range" min="0.1" max="0.9" step="0.05" value={now.tolerance}
          aria-valuetext={words.doubtText(now.tolerance)} {...faultOf("doubt", faults)}
          onInput={(event) => set({ tolerance: Number(event.currentTarget.value) })} />
        <span class="soft" aria-hidden="true">{words.doubtMore}</span>
        <span class="soft" aria-hidden="true">{words.doubtLess}</span>
        <Fault id="doubt" faults={faults} />
      </div>
      <div class="wish">
        <label for="budget">{words.budget}</label>
        <input id="budget" class="short" inputMode="decimal" autocomplete="off" placeholder={words.any} value={now.budget}
          {...faultOf("budget", faults)} onInput={(event) => set({ budget: event.currentTarget.value })} />
        <BudgetSlider value={now.budget} onChange={(budget) => set({ budget })} />
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

/** The budget up to what the plan costs without one; only if that is known. */
function BudgetSlider({ value, onChange }: { value: string; onChange: (budget: string) => void }) {
  const max = Math.ceil(monthCost.value);
  if (max < 2) return null;
  const step = Math.max(1, Math.round(max / BUDGET_STEPS));
  const end = Math.ceil(max / step) * step;
  const amount = amountOf(value);
  return (
    <input type="range" aria-label={words.budgetSlider} min={step} max={end} step={step}
      value={value.trim() && amount >= 0 ? Math.min(amount, end) : end} aria-valuetext={value.trim() || words.any}
      onInput={(event) => onChange(Number(event.currentTarget.value) >= end ? "" : event.currentTarget.value)} />
  );
}

/** Attributes of a field that is wrong; its fault is shown by `Fault`. */
export function faultOf(id: string, faults: ReadonlyMap<string, string>): { "aria-invalid"?: true; "aria-describedby"?: string } {
  return faults.has(id) ? { "aria-invalid": true, "aria-describedby": `${id}-fault` } : {};
}

export function Fault({ id, faults }: { id: string; faults: ReadonlyMap<string, string> }) {
  return faults.has(id) ? <p class="fault" id={`${id}-fault`}>{faults.get(id)}</p> : null;
}
