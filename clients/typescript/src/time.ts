/** Deadline of a call, and the pauses between its attempts. */
import { DeadlineExceededError } from "./errors.js";

// The same back-off as the gRPC channels of the mesh.
const INITIAL_BACKOFF_MS = 100;
const MAX_BACKOFF_MS = 1_000;

/**
 * Aborts a call at its deadline or when its caller aborts it. Call `dispose` at the end.
 */
export class Deadline {
  private readonly controller = new AbortController();
  private readonly endsAt: number;
  private readonly timer: ReturnType<typeof setTimeout>;
  private readonly abort = (): void => this.controller.abort(this.outer?.reason);

  /**
   * @param seconds timeout of the call
   * @param outer the signal of the caller
   * @param graceSeconds additional time for the server to report the deadline itself
   */
  constructor(
    seconds: number,
    private readonly outer?: AbortSignal,
    graceSeconds = 0,
  ) {
    this.endsAt = Date.now() + seconds * 1000;
    const error = new DeadlineExceededError(`no answer within ${seconds} s`, { code: "DEADLINE_EXCEEDED" });
    this.timer = setTimeout(() => this.controller.abort(error), (seconds + graceSeconds) * 1000);
    if (outer?.aborted) this.abort();
    else outer?.addEventListener("abort", this.abort, { once: true });
  }

  /** Aborted with an error at the deadline, or with the reason of the caller's signal. */
  get signal(): AbortSignal {
    return this.controller.signal;
  }

  /** Remaining seconds; the minimum is 0.001, for which the server returns an error. */
  get remainingSeconds(): number {
    return Math.max((this.endsAt - Date.now()) / 1000, 0.001);
  }

  /**
   * Waits before the next attempt; rejects if the call is aborted meanwhile.
   *
   * @param onPause called with the length of the pause in seconds, and a function that ends it
   */
  async pause(failedAttempts: number, onPause: (seconds: number, end: () => void) => void = () => {}): Promise<void> {
    const maximum = Math.min(INITIAL_BACKOFF_MS * 2 ** (failedAttempts - 1), MAX_BACKOFF_MS);
    // Jitter, so that many clients do not retry at the same moment.
    const milliseconds = maximum * (0.5 + Math.random() / 2);
    await new Promise<void>((resolve, reject) => {
      const fail = (): void => {
        clearTimeout(timer);
        reject(this.signal.reason);
      };
      const end = (): void => {
        clearTimeout(timer);
        this.signal.removeEventListener("abort", fail);
        resolve();
      };
      const timer = setTimeout(end, milliseconds);
      if (this.signal.aborted) {
        fail();
        return;
      }
      this.signal.addEventListener("abort", fail, { once: true });
      onPause(milliseconds / 1000, end);
    });
  }

  /** Releases the timer and the caller's signal. */
  dispose(): void {
    clearTimeout(this.timer);
    this.outer?.removeEventListener("abort", this.abort);
  }
}
