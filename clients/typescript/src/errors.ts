/**
 * The errors.
 *
 * ```
 * PantreeError                    base class of all errors
 * ├── InvalidInputError           fields of the request are invalid; `fields` names the first ones
 * ├── NotFoundError               nothing is stored under the given ID
 * ├── StoreMismatchError          another model created the vector collection
 * ├── TooLargeError               the request exceeds a limit
 * ├── DeadlineExceededError       the call took too long
 * │   └── DeadlineTooShortError   the remaining time was too short to start
 * ├── ComponentUnavailableError   a part is unavailable; `component` names it, or `gateway`
 * ├── OverloadedError             the server is overloaded; try again later
 * ├── UnauthenticatedError        the key or token is missing or not valid
 * ├── PermissionDeniedError       the caller may not do this
 * └── InternalError               unexpected error; the server's log has the details
 * ```
 *
 * An aborted call rejects with the reason of its AbortSignal instead, as `fetch` does.
 */
import type { ErrorReason } from "./generated/rest.js";

/** An invalid field of a request. */
export interface FieldProblem {
  /** Path in the request, such as `items[0].price`; empty for the number of further fields. */
  field: string;
  /** What is wrong and what the value must be. */
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

/** Properties of an error in addition to its message. */
export interface ErrorDetails {
  code: string;
  status?: number;
  fields?: readonly FieldProblem[];
  traceId?: string;
  component?: string;
  cause?: unknown;
}

/** Base class of all errors, and the class of errors without a subclass. */
export class PantreeError extends Error {
  /** Stable code: an `ErrorReason`, or another name for errors outside the contract. */
  readonly code: ErrorReason | (string & {});
  /** HTTP status; 0 without a response. */
  readonly status: number;
  /** The invalid fields; empty for other errors. */
  readonly fields: readonly FieldProblem[];
  /** ID of the request in logs and traces; empty without a response. */
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

/** Fields of the request are invalid. */
export class InvalidInputError extends PantreeError {}

/** Nothing is stored under the given ID. */
export class NotFoundError extends PantreeError {}

/** Another embedding model or dimension created the vector collection. */
export class StoreMismatchError extends PantreeError {}

/** The request exceeds a limit. */
export class TooLargeError extends PantreeError {}

/** The call took too long. */
export class DeadlineExceededError extends PantreeError {}

/** The remaining time was too short to start. */
export class DeadlineTooShortError extends DeadlineExceededError {}

/** A required part is unavailable; try again later. */
export class ComponentUnavailableError extends PantreeError {
  /** The part; `gateway` if the gateway itself is unreachable. */
  readonly component: string;

  constructor(message: string, details: ErrorDetails) {
    super(message, details);
    this.component = details.component || "gateway";
  }
}

/** The server is overloaded; try again later. */
export class OverloadedError extends PantreeError {}

/** The caller may not do this. */
export class PermissionDeniedError extends PantreeError {}

/** The key or token is missing or not valid. */
export class UnauthenticatedError extends PantreeError {}

/** Unexpected error. */
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
  UNAUTHENTICATED: UnauthenticatedError,
};

// For reasons without a class of their own, and for answers of proxies.
const BY_STATUS: Record<number, typeof PantreeError> = {
  401: UnauthenticatedError,
  403: PermissionDeniedError,
  404: NotFoundError,
  413: TooLargeError,
  502: ComponentUnavailableError,
  503: ComponentUnavailableError,
  504: DeadlineExceededError,
};

/** Error for a problem document. */
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

/** Error for a response of the gateway or of a proxy. */
export async function errorOfResponse(response: Response): Promise<PantreeError> {
  const text = await response.text();
  if (response.headers.get("Content-Type")?.startsWith("application/problem+json")) {
    return errorOfProblem(JSON.parse(text) as Problem);
  }
  const kind = BY_STATUS[response.status] ?? PantreeError;
  return new kind(`${response.url} returned ${response.status} ${response.statusText}: ${text.slice(0, 200)}`, {
    code: "HTTP_ERROR",
    status: response.status,
    traceId: response.headers.get("X-Trace-Id") ?? "",
  });
}

/** Whether a retry may succeed: the gateway or a part is unavailable. */
export function isTransient(error: unknown): boolean {
  return error instanceof ComponentUnavailableError;
}
