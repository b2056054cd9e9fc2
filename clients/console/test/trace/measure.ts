/** Figures of a page: frames, tasks, memory, and when something was drawn. */
import { loadavg } from "node:os";
import type { CDPSession, Page } from "@playwright/test";

const FRAME_MS = 1000 / 60;
// Timestamps of frames vary by some tenths.
const TOLERANCE_MS = 1;

interface Recorded {
  frames: number[];
  tasks: number[];
  isOn: boolean;
}

/** Records the times of animation frames and of tasks over 50 ms while `action` runs. */
export async function recordFrames(page: Page, action: () => Promise<void>): Promise<Recorded> {
  await page.evaluate(() => {
    const all = ((window as unknown as { recorded: Recorded }).recorded = { frames: [] as number[], tasks: [] as number[], isOn: true });
    const next = (time: number): void => {
      all.frames.push(time);
      if (all.isOn) requestAnimationFrame(next);
    };
    requestAnimationFrame(next);
    new PerformanceObserver((list) => {
      if (all.isOn) all.tasks.push(...list.getEntries().map((entry) => entry.duration));
    }).observe({ type: "longtask" });
  });
  await action();
  return page.evaluate(() => {
    const all = (window as unknown as { recorded: Recorded }).recorded;
    all.isOn = false;
    return all;
  });
}

export function framesText({ frames, tasks }: Recorded): string {
  const gaps = frames.slice(1).map((time, at) => time - (frames[at] ?? 0)).sort((one, other) => one - other);
  const seconds = gaps.reduce((sum, gap) => sum + gap, 0) / 1000;
  const late = gaps.filter((gap) => gap > FRAME_MS + TOLERANCE_MS).length;
  const percentile = (share: number): string => (gaps[Math.floor(share * (gaps.length - 1))] ?? 0).toFixed(1);
  return (
    `${(gaps.length / seconds).toFixed(1)} frames/s; ${((100 * late) / gaps.length).toFixed(1)} % over 16.7 ms; ` +
    `p95 ${percentile(0.95)}, p99 ${percentile(0.99)}, max ${percentile(1)} ms; ` +
    `${tasks.length} tasks over 50 ms${tasks.length ? `, max ${Math.max(...tasks).toFixed(0)} ms` : ""} (${seconds.toFixed(1)} s)`
  );
}

export interface Memory {
  heapMib: number;
  nodes: number;
  listeners: number;
  documents: number;
}

/** Memory after a full garbage collection. */
export async function memoryOf(session: CDPSession): Promise<Memory> {
  // The second collection takes what finalizers of the first one released.
  for (let time = 0; time < 2; time++) await session.send("HeapProfiler.collectGarbage");
  const { metrics } = await session.send("Performance.getMetrics");
  const value = (name: string): number => metrics.find((metric) => metric.name === name)?.value ?? NaN;
  return {
    heapMib: value("JSHeapUsedSize") / 2 ** 20,
    nodes: value("Nodes"),
    listeners: value("JSEventListeners"),
    documents: value("Documents"),
  };
}

export const load = (): string => `load ${loadavg().map((value) => value.toFixed(2)).join(" ")}`;

export const median = (values: readonly number[]): number => [...values].sort((one, other) => one - other)[Math.floor(values.length / 2)] ?? NaN;
