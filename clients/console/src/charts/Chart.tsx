/** A chart with its sentence, a cursor for the keyboard, and a table of all points. Drawn once it is seen. */
import { useEffect, useRef, useState } from "preact/hooks";
import { texts } from "../texts/index.js";
import type { ChartData, PlotModule } from "./chart.js";

let module: Promise<PlotModule> | null = null;
const load = (): Promise<PlotModule> => (module ??= import("./plot.js"));

interface Drawn {
  x: (value: unknown) => number;
}

export function Chart({ data, label, isTitled = false }: { data: ChartData; label: string; isTitled?: boolean }) {
  const box = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(0);
  const [isSeen, setSeen] = useState(false);
  const [drawn, setDrawn] = useState<Drawn | null>(null);
  const [at, setAt] = useState<number | null>(null);

  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const seen = new IntersectionObserver((entries) => {
      if (entries.some((entry) => entry.isIntersecting)) setSeen(true);
    }, { rootMargin: "200px" });
    const size = new ResizeObserver(([entry]) => {
      if (entry) setWidth(Math.floor(entry.contentRect.width));
    });
    seen.observe(element);
    size.observe(element);
    const all = (): void => setSeen(true);
    addEventListener("beforeprint", all);
    return () => {
      seen.disconnect();
      size.disconnect();
      removeEventListener("beforeprint", all);
    };
  }, []);

  useEffect(() => {
    if (!isSeen || width < 40) return;
    let isCurrent = true;
    void load().then((plot) => {
      if (!isCurrent || !box.current) return;
      const chart = plot.plot({ ...data.options(plot, width), ariaLabel: label, document });
      // Plot's own rules are in base.css: the policy of the page allows no style elements.
      for (const style of chart.querySelectorAll("style")) style.remove();
      box.current.querySelector(".plot")?.replaceChildren(chart);
      const scale = chart.scale("x");
      setDrawn({ x: (value) => Number(scale?.apply(value as never) ?? 0) + Number(scale?.bandwidth ?? 0) / 2 });
    });
    return () => {
      isCurrent = false;
    };
  }, [data, width, isSeen]);

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
        {data.rows.length > 0 && <TableDetails data={data} label={label} />}
        {points.length > 0 && <p class="readout" aria-hidden="true">{point?.text ?? "\u00a0"}</p>}
      </div>
    </figure>
  );
}

function TableDetails({ data, label }: { data: ChartData; label: string }) {
  const [isOpen, setOpen] = useState(false);
  return (
    <details onToggle={(event) => setOpen(event.currentTarget.open)}>
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
