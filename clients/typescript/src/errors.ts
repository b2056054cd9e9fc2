/**
 * What can go wrong.
 *
 * ```
 * PantreeError                    anything that Pantree, or the way to it, tells about
 * ├── InvalidInputError           fields of the request are wrong; `fields` names each of them
 * ├── NotFoundError               nothing is there under the given name
 * ├── StoreMismatchError          the mesh's vector collection was made by another model
 * ├── TooLargeError               the request is over a limit
 * ├── DeadlineExceededError       time ran out
 * │   └── DeadlineTooShortError   so little time was given that the work was not begun
 * ├── ComponentUnavailableError   a part does not answer; `component` names it, `gateway` when nothing was reached
 * ├── OverloadedError             a part has too much to do; try again later
 * ├── PermissionDeniedError       a caller may not do this
 * └── InternalError               something unexpected happened; the server's log has the details
 * ```
 *
 * An abort is no such error: it rejects with the reason of the AbortSignal, as `fetch` does.
 */
import type { ErrorReason } from "./generated/rest.js";

/** A wrong field of a request. */
export interface FieldProblem {
  /** Path in the request, such as `items[0].price`; empty for the whole request. */
  field: string;
  /** What is wrong with it and what to give instead. */
  message: string;
}

/** A problem document of the gateway (RFC 9457). */
export interface Problem {
  type: string;
  title: string;
  status: number;
  detail: string;
  instance: string;
  code: string;
  errors: FieldProblem[];
  trace_id: string;
  component?: string;
}

/** What is known about an error, beside its text. */
export interface ErrorDetails {
  code: string;
  status?: number;
  fields?: readonly FieldProblem[];
  traceId?: string;
  component?: string;
  cause?: unknown;
}

/** Anything that Pantree, or the way to it, tells about. Errors that no subclass stands for are of this class. */
export class PantreeError extends Error {
  /** Stable, to branch on: an `ErrorReason`, or another name for what does not come from the contract. */
  readonly code: ErrorReason | (string & {});
  /** HTTP status; 0 when there was no answer. */
  readonly status: number;
  /** The wrong fields; empty when the problem is another one. */
  readonly fields: readonly FieldProblem[];
  /** Identifies the request in the mesh's logs and traces; empty when nothing was reached. */
  readonly traceId: string;

  constructor(message: string, details: ErrorDetails) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = new.target.name;
    this.code = details.code;
    this.status = details.status ?? 0;
    this.fields = details.fields ?? [];
    this.traceId = details.traceId ?? "";
  }
}

/** Fields of the request are wrong. */
export class InvalidInputError extends PantreeError {}

/** Nothing is there under the given name. */
export class NotFoundError extends PantreeError {}

/** The mesh's vector collection was made by another embedding model or dimension. */
export class StoreMismatchError extends PantreeError {}

/** The request is over a limit. */
export class TooLargeError extends PantreeError {}

/** Time ran out before the answer was ready. */
export class DeadlineExceededError extends PantreeError {}

/** So little time was left on arrival that the work was not begun. */
export class DeadlineTooShortError extends DeadlineExceededError {}

/** A part that the answer needs does not answer. Trying again later may help. */
export class ComponentUnavailableError extends PantreeError {
  /** The part; `gateway` when nothing was reached. */
  readonly component: string;

  constructor(message: string, details: ErrorDetails) {
    super(message, details);
    this.component = details.component || "gateway";
  }
}

/** A part has too much to do; try again later. */
export class OverloadedError extends PantreeError {}

/** The caller may not do this. */
export class PermissionDeniedError extends PantreeError {}

/** Something unexpected happened. */
export class InternalError extends PantreeError {}

const BY_REASON: Partial<Record<ErrorReason, typeof PantreeError>> = {
  INVALID_INPUT: InvalidInputError,
  NOT_FOUND: NotFoundError,
  STORE_MISMATCH: StoreMismatchError,
  TOO_LARGE: TooLargeError,
  DEADLINE_EXCEEDED: DeadlineExceededError,
  DEADLINE_TOO_SHORT: DeadlineTooShortError,
  COMPONENT_UNAVAILABLE: ComponentUnavailableError,
  INTERNAL: InternalError,
  OVERLOADED: OverloadedError,
  PERMISSION_DENIED: PermissionDeniedError,
};

// For reasons without a class of their own, and for answers of proxies.
const BY_STATUS: Record<number, typeof PantreeError> = {
  404: NotFoundError,
  413: TooLargeError,
  502: ComponentUnavailableError,
  503: ComponentUnavailableError,
  504: DeadlineExceededError,
};

/** Error that a problem document stands for. */
export function errorOfProblem(problem: Problem): PantreeError {
  const kind = BY_REASON[problem.code as ErrorReason] ?? BY_STATUS[problem.status] ?? PantreeError;
  return new kind(problem.detail, {
    code: problem.code,
    status: problem.status,
    fields: problem.errors,
    traceId: problem.trace_id,
    ...(problem.component === undefined ? {} : { component: problem.component }),
  });
}

/** Error that an answer stands for, be it of the gateway or of a proxy before it. */
export async function errorOfResponse(response: Response): Promise<PantreeError> {
  const text = await response.text();
  if (response.headers.get("Content-Type")?.startsWith("application/problem+json")) {
    return errorOfProblem(JSON.parse(text) as Problem);
  }
  const kind = BY_STATUS[response.status] ?? PantreeError;
  return new kind(`${response.url} answered ${response.status} ${response.statusText}: ${text.slice(0, 200)}`, {
    code: "HTTP_ERROR",
    status: response.status,
    traceId: response.headers.get("X-Trace-Id") ?? "",
  });
}

/** Whether trying again may help: nothing was reached, or a part does not answer just now. */
export function isTransient(error: unknown): boolean {
  return error instanceof ComponentUnavailableError;
}
