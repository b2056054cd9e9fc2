/** A place for a file: dropped, or chosen. */
import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";

export function Drop({ text, choose, accept, onFile, children }: {
  text: string; choose: string; accept: string; onFile: (file: File) => void; children?: ComponentChildren;
}) {
  const [isOver, setOver] = useState(false);
  // A file that misses the zone must not replace the page.
  useEffect(() => {
    const keep = (event: Event): void => event.preventDefault();
    const names = ["dragover", "drop"] as const;
    for (const name of names) addEventListener(name, keep);
    return () => {
      for (const name of names) removeEventListener(name, keep);
    };
  }, []);
  return (
    <div
      class={`drop${isOver ? " over" : ""}`}
      onDragOver={(event) => { event.preventDefault(); setOver(true); }}
      onDragLeave={() => setOver(false)}
      onDrop={(event) => {
        event.preventDefault();
        setOver(false);
        const dropped = event.dataTransfer?.files[0];
        if (dropped) onFile(dropped);
      }}
    >
      <p>
        {text}{" "}
        <label class="choose">
          <input type="file" class="unseen" accept={accept}
            onChange={(event) => { const chosen = event.currentTarget.files?.[0]; if (chosen) onFile(chosen); }} />
          <span>{choose}</span>
        </label>
      </p>
      {children}
    </div>
  );
}
