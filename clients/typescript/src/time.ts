/** The time that a call may take, and the pauses between its attempts. */
import { DeadlineExceededError } from "./errors.js";

// As the mesh's own channels: four attempts, doubling from a tenth of a second to one second.
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 1_000;

/**
 * Ends a call when its time is over or its caller does not want it any more. Call `dispose` at the end.
 */
export class Deadline {
  private readonly controller = new AbortController();
  private readonly endsAt: number;
  private readonly timer: ReturnType<typeof setTimeout>;
  private readonly abort = (): void => this.controller.abort(this.outer?.reason);

  /**
   * @param seconds how long the call may take
   * @param outer the caller's own signal
   * @param graceSeconds how much longer to wait for the server to say that the time is over
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

  /** Aborted with an error when time is over, or with the reason of the caller's signal. */
  get signal(): AbortSignal {
    return this.controller.signal;
  }

  /** Seconds left; never less than a millisecond, which the server refuses in its own words. */
  get remainingSeconds(): number {
    return Math.max((this.endsAt - Date.now()) / 1000, 0.001);
  }

  /** Waits before another attempt; rejects when the call is over meanwhile. */
  async pause(failedAttempts: number): Promise<void> {
    const longest = Math.min(FIRST_PAUSE_MS * 2 ** (failedAttempts - 1), LONGEST_PAUSE_MS);
    // Half of it at random, lest many clients come back at the same moment.
    const milliseconds = longest * (0.5 + Math.random() / 2);
    await new Promise<void>((resolve, reject) => {
      const fail = (): void => {
        clearTimeout(timer);
        reject(this.signal.reason);
      };
      const timer = setTimeout(() => {
        this.signal.removeEventListener("abort", fail);
        resolve();
      }, milliseconds);
      if (this.signal.aborted) fail();
      else this.signal.addEventListener("abort", fail, { once: true });
    });
  }

  /** Lets go of the timer and the caller's signal. */
  dispose(): void {
    clearTimeout(this.timer);
    this.outer?.removeEventListener("abort", this.abort);
  }
}
