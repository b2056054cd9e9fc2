/** Calls of which only the latest counts: one in flight, the newest waiting value replaces others. */
export class Latest<Input, Output> {
  private running: AbortController | null = null;
  private waiting: { input: Input } | null = null;

  constructor(
    private readonly call: (input: Input, signal: AbortSignal) => Promise<Output>,
    private readonly onAnswer: (output: Output) => void,
    private readonly onError: (error: unknown) => void,
  ) {}

  /** Whether an answer is outstanding. */
  get isBusy(): boolean {
    return this.running !== null;
  }

  request(input: Input): void {
    if (this.running) this.waiting = { input };
    else void this.start(input);
  }

  /** Forgets what is in flight. */
  cancel(): void {
    this.waiting = null;
    this.running?.abort();
    this.running = null;
  }

  private async start(input: Input): Promise<void> {
    const controller = new AbortController();
    this.running = controller;
    try {
      const output = await this.call(input, controller.signal);
      if (this.running === controller && !this.waiting) this.onAnswer(output);
    } catch (error) {
      if (this.running === controller) this.onError(error);
    }
    if (this.running !== controller) return;
    this.running = null;
    const next = this.waiting;
    this.waiting = null;
    if (next) void this.start(next.input);
  }
}
