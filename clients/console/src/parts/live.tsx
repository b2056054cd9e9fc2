/** One polite live region for the page: at most one message in 1.5 s, the latest one. */
import { signal } from "@preact/signals";

const message = signal("");
let waiting: string | null = null;
let timer: ReturnType<typeof setTimeout> | undefined;

export function announce(text: string): void {
  if (timer !== undefined) {
    waiting = text;
    return;
  }
  message.value = text;
  timer = setTimeout(() => {
    timer = undefined;
    const next = waiting;
    waiting = null;
    if (next !== null) announce(next);
  }, 1500);
}

export function Live() {
  return (
    <p class="unseen" role="status" aria-live="polite">
      {message.value}
    </p>
  );
}
