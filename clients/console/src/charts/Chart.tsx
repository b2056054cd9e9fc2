/** A chart with its sentence, a cursor for the keyboard, and a table of all points. Drawn once it is seen. */
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { texts } from "../texts/index.js";
import type { ChartData, PlotModule } from "./chart.js";

let plotModule: PlotModule | null = null;
let loading: Promise<void> | null = null;

// Charts that wait for a frame. A chart takes some milliseconds, so a frame draws few of them.
const queue = new Set<() => void>();
const FRAME_BUDGET_MS = 6;
let spentMs = 0;
let frame = 0;

/** Draws at once if this frame has time, otherwise in one of the next. */
function enqueue(draw: () => void): void {
  if (plotModule && queue.size === 0 && spentMs < FRAME_BUDGET_MS) {
    run(draw);
    return;
  }
  queue.add(draw);
  if (plotModule) nextFrame();
  else {
    loading ??= import("./plot.js").then(
      (loaded) => {
        plotModule = loaded;
        nextFrame();
      },
      // The next chart tries again.
      () => { loading = null; },
    );
  }
}

function run(draw: () => void): void {
  const begin = performance.now();
  queue.delete(draw);
  draw();
  spentMs += performance.now() - begin;
  nextFrame();
}

function nextFrame(): void {
  frame ||= requestAnimationFrame(() => {
    frame = 0;
    spentMs = 0;
    for (const draw of queue) {
      run(draw);
      if (spentMs >= FRAME_BUDGET_MS) break;
    }
  });
}

interface ChartState {
  data: ChartData;
  label: string;
  width: number;
  /** Whether it is on the screen, or close to it. */
  isNear: boolean;
  /** Signature of what is drawn. */
  shown: string;
  draw?: () => void;
}

/** Equal for equal charts. */
const signatureOf = ({ data, label, width }: ChartState): string =>
  JSON.stringify([label, width, data.axis, data.sentence, data.header, data.rows, data.points.map(({ text }) => text)]);

interface Drawn {
  x: (value: unknown) => number;
}

// Not a closure of the component: that would keep the chart drawn before, which keeps the one before it.
function drawnOf(chart: ReturnType<PlotModule["plot"]>): Drawn {
  const scale = chart.scale("x");
  return { x: (value) => Number(scale?.apply(value as never) ?? 0) + Number(scale?.bandwidth ?? 0) / 2 };
}

export function Chart({ data, label, isTitled = false }: { data: ChartData; label: string; isTitled?: boolean }) {
  const box = useRef<HTMLDivElement>(null);
  const [drawn, setDrawn] = useState<Drawn | null>(null);
  const [at, setAt] = useState<number | null>(null);
  const state = useRef<ChartState>({ data, label, width: 0, isNear: false, shown: "" });
  const { current } = state;
  current.data = data;
  current.label = label;

  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const draw = (): void => {
      const signature = signatureOf(current);
      if (current.width < 40 || signature === current.shown || !plotModule) return;
      current.shown = signature;
      const chart = plotModule.plot({ ...current.data.options(plotModule, current.width), ariaLabel: current.label, document });
      // Plot's own rules are in base.css: the policy of the page allows no style elements.
      for (const style of chart.querySelectorAll("style")) style.remove();
      element.querySelector(".plot")?.replaceChildren(chart);
      setDrawn(drawnOf(chart));
    };
    const drawIfNear = (): void => {
      if (current.isNear) enqueue(draw);
    };
    current.draw = drawIfNear;
    const near = new IntersectionObserver((entries) => {
      current.isNear = entries.at(-1)?.isIntersecting ?? false;
      drawIfNear();
    }, { rootMargin: "200px" });
    const size = new ResizeObserver(([entry]) => {
      if (entry) current.width = Math.floor(entry.contentRect.width);
      drawIfNear();
    });
    near.observe(element);
    size.observe(element);
    // Paper has all of them, and does not wait.
    const drawForPaper = (): void => {
      current.width ||= Math.floor(element.getBoundingClientRect().width);
      draw();
    };
    addEventListener("beforeprint", drawForPaper);
    return () => {
      near.disconnect();
      size.disconnect();
      removeEventListener("beforeprint", drawForPaper);
      queue.delete(draw);
    };
  }, []);
  useLayoutEffect(() => current.draw?.(), [data, label]);

  const { points } = data;
  const position = at === null ? null : Math.min(at, points.length - 1);
  const point = position === null ? undefined : points[position];
  const move = (event: KeyboardEvent): void => {
    const last = points.length - 1;
    const now = position ?? -1;
    const page = Math.max(1, Math.round(points.length / 10));
    const targets: Record<string, number | null> = {
      ArrowRight: now + 1, ArrowUp: now + 1, ArrowLeft: now - 1, ArrowDown: now - 1,
      PageUp: now + page, PageDown: now - page, Home: 0, End: last, Escape: null,
    };
    if (!(event.key in targets)) return;
    event.preventDefault();
    const target = targets[event.key] ?? null;
    setAt(target === null ? null : Math.min(last, Math.max(0, target)));
  };
  const point_at = (event: PointerEvent): void => {
    if (!drawn || !points.length || !box.current) return;
    const x = event.clientX - box.current.getBoundingClientRect().left;
    let nearest = 0;
    points.forEach((one, index) => {
      if (Math.abs(drawn.x(one.x) - x) < Math.abs(drawn.x(points[nearest]!.x) - x)) nearest = index;
    });
    setAt(nearest);
  };

  return (
    <figure class="chart">
      <figcaption class={isTitled ? "unseen" : ""}>
        <bdi>{data.sentence}</bdi>
      </figcaption>
      <div class="canvas" ref={box} style={{ height: `${data.height}px` }} onPointerMove={point_at} onPointerLeave={() => setAt(null)}>
        <div class="plot" aria-hidden="true" />
        {point && drawn && <div class="cursor" style={{ left: `${drawn.x(point.x)}px` }} aria-hidden="true" />}
        {points.length > 0 && (
          <div
            class="handle"
            role="slider"
            tabIndex={0}
            aria-label={`${label}: ${texts.charts.cursor}`}
            aria-valuemin={0}
            aria-valuemax={points.length - 1}
            aria-valuenow={position ?? 0}
            aria-valuetext={point?.text ?? data.sentence}
            onKeyDown={move}
            onBlur={() => setAt(null)}
          />
        )}
      </div>
      <div class="below">
        {data.header.length > 0 && <TableDetails data={data} label={label} />}
        {points.length > 0 && <p class="readout" aria-hidden="true">{point?.text ?? "\u00a0"}</p>}
      </div>
    </figure>
  );
}

function TableDetails({ data, label }: { data: ChartData; label: string }) {
  const [isOpen, setOpen] = useState(false);
  return (
    // Without rows, its place is kept, so that nothing shifts.
    <details class={data.rows.length > 0 ? "" : "empty"} onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>{texts.charts.table}</summary>
      {isOpen && (
        <div class="scroll" tabIndex={0} role="group" aria-label={label}>
          <table>
            <thead>
              <tr>
                {data.header.map((name, at) => (
                  <th scope="col" key={at}>
                    {name}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {data.rows.map((row, at) => (
                <tr key={at}>
                  {row.map((cell, column) =>
                    column === 0 ? (
                      <th scope="row" key={column}>{cell}</th>
                    ) : (
                      <td key={column}>{cell}</td>
                    ),
                  )}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </details>
  );
}
