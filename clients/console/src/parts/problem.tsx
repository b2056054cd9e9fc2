/** An error for people: what it means for them, what to do, and the trace id for support. */
import {
  ComponentUnavailableError,
  DeadlineExceededError,
  InvalidInputError,
  PantreeError,
  PermissionDeniedError,
} from "pantree-client";
import { texts } from "../texts/index.js";

export function Problem({ error, onRetry }: { error: unknown; onRetry?: (() => void) | undefined }) {
  const { text, details } = explain(error);
  return (
    <div class="problem" role="alert">
      <p>{text}</p>
      {details.length > 0 && (
        <ul>
          {details.map((detail) => (
            <li key={detail}>
              <bdi>{detail}</bdi>
            </li>
          ))}
        </ul>
      )}
      {error instanceof PantreeError && error.traceId && <p class="soft">{texts.problem.trace(error.traceId)}</p>}
      {onRetry && (
        <button type="button" onClick={onRetry}>
          {texts.problem.retry}
        </button>
      )}
    </div>
  );
}

export function explain(error: unknown): { text: string; details: string[] } {
  const { problem } = texts;
  if (error instanceof PermissionDeniedError) return { text: problem.scope, details: [error.message] };
  if (error instanceof PantreeError && error.status === 429) return { text: problem.busy, details: [error.message] };
  if (error instanceof PantreeError && error.code === "INVALID_STATE") return { text: problem.state, details: [error.message] };
  if (error instanceof DeadlineExceededError) return { text: problem.slow, details: [] };
  if (error instanceof InvalidInputError) {
    const details = error.fields.map(({ field, message }) => (field ? `${field}: ${message}` : message));
    return { text: problem.invalid, details: details.length ? details.slice(0, 5) : [error.message] };
  }
  if (error instanceof ComponentUnavailableError) {
    return error.status === 0 && error.component === "gateway"
      ? { text: problem.offline, details: [] }
      : { text: problem.unavailable(error.component), details: [] };
  }
  return { text: problem.other, details: [error instanceof Error ? error.message : String(error)] };
}
