import { PantreeClient, UnauthenticatedError } from "pantree-client";
import { useState } from "preact/hooks";
import { base, keepKey, key } from "../api.js";
import { Problem } from "../parts/problem.js";
import { go, route } from "../router.js";
import { texts } from "../texts/index.js";

const words = texts.key;

export function Key() {
  const [value, setValue] = useState("");
  const [fault, setFault] = useState("");
  const [error, setError] = useState<unknown>(null);
  const [isBusy, setBusy] = useState(false);
  const then = route.value.query.get("then") ?? "/try";

  const use = async (event: Event): Promise<void> => {
    event.preventDefault();
    const candidate = value.trim();
    setError(null);
    setFault(candidate ? "" : words.empty);
    if (!candidate) return;
    setBusy(true);
    try {
      // Before it is kept, so that a wrong key does no harm.
      await new PantreeClient(base, { apiKey: candidate, maxAttempts: 1 }).config();
      keepKey(candidate);
      // Only routes of this page.
      go(then.startsWith("/") ? then : "/try");
    } catch (problem) {
      if (problem instanceof UnauthenticatedError) setFault(words.refused);
      else setError(problem);
    } finally {
      setBusy(false);
    }
  };
  return (
    <div class="key">
      <h1>{words.title}</h1>
      <p class="intro">{words.intro}</p>
      {error !== null && <Problem error={error} />}
      <form class="panel" onSubmit={(event) => void use(event)} noValidate>
        <label for="key">{words.label}</label>
        <input id="key" type="password" autocomplete="off" spellcheck={false} value={value} aria-invalid={fault !== ""}
          aria-describedby="key-fault" onInput={(event) => setValue(event.currentTarget.value)} />
        <p id="key-fault" class="fault" role="alert">{fault}</p>
        <div class="actions">
          <button type="submit" class="main" disabled={isBusy}>{isBusy ? words.checking : words.use}</button>
          {key.value && <button type="button" onClick={() => keepKey("")}>{words.forget}</button>}
        </div>
      </form>
    </div>
  );
}
