import { signal } from "@preact/signals";
import { render } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { key } from "./api.js";
import { Live } from "./parts/live.js";
import { followHash, route } from "./router.js";
import { texts } from "./texts/index.js";
import { Household } from "./views/Household.js";
import { Key } from "./views/Key.js";
import { Program } from "./views/Program.js";
import { Subscriptions } from "./views/Subscriptions.js";
import { System } from "./views/System.js";
import { Try } from "./views/Try.js";
import { WhatIf } from "./views/WhatIf.js";
import "./style/tokens.css";
import "./style/base.css";
import "./style/print.css";

const THEME = "pantree-theme";
const prefersDark = matchMedia("(prefers-color-scheme: dark)");
const systemIsDark = signal(prefersDark.matches);
const theme = signal(localStorage.getItem(THEME) ?? "");

const VIEWS: Readonly<Record<string, { view: () => preact.JSX.Element; name: string; isHidden?: boolean }>> = {
  "/try": { view: Try, name: texts.nav.try },
  "/household": { view: Household, name: texts.nav.household },
  "/what-if": { view: WhatIf, name: texts.nav.whatIf },
  "/program": { view: Program, name: texts.nav.program },
  "/subscriptions": { view: Subscriptions, name: texts.nav.subscriptions },
  "/system": { view: System, name: texts.nav.system },
  "/key": { view: Key, name: texts.nav.key, isHidden: true },
};

function isDark(): boolean {
  return theme.value ? theme.value === "dark" : systemIsDark.value;
}

function applyTheme(): void {
  document.documentElement.dataset["theme"] = isDark() ? "dark" : "light";
}

function App() {
  const { path } = route.value;
  const found = VIEWS[path] ?? VIEWS[`/${path.split("/")[1]}`];
  const main = useRef<HTMLElement>(null);
  const isFirst = useRef(true);
  useEffect(() => {
    document.title = found ? `${found.name} · ${texts.appName}` : texts.appName;
    // After a change of the view, reading goes on at its top.
    if (!isFirst.current) main.current?.focus();
    isFirst.current = false;
  }, [path]);
  const View = found?.view;
  return (
    <>
      <a class="skip" href="#main" onClick={(event) => { event.preventDefault(); main.current?.focus(); }}>{texts.skip}</a>
      <header class="top screen">
        <a class="brand" href="#/try">{texts.appName}</a>
        <nav aria-label={texts.navLabel}>
          <ul>
            {Object.entries(VIEWS).filter(([, view]) => !view.isHidden).map(([target, view]) => (
              <li key={target}>
                <a href={`#${target}`} aria-current={found === view ? "page" : undefined}>{view.name}</a>
              </li>
            ))}
          </ul>
        </nav>
        <span class="tools">
          {key.value && <a href="#/key" title={texts.keySet}>{texts.nav.key}</a>}
          <button type="button" class="plain icon" aria-label={isDark() ? texts.theme.toLight : texts.theme.toDark}
            onClick={() => { theme.value = isDark() ? "light" : "dark"; localStorage.setItem(THEME, theme.value); applyTheme(); }}>
            <span aria-hidden="true">{isDark() ? "☀" : "☾"}</span>
          </button>
        </span>
      </header>
      <main ref={main} id="main" tabIndex={-1}>
        {View ? <View /> : <h1>{texts.notFound}</h1>}
      </main>
      <Live />
    </>
  );
}

document.documentElement.lang = texts.locale;
applyTheme();
prefersDark.addEventListener("change", () => {
  systemIsDark.value = prefersDark.matches;
  applyTheme();
});
// Paper is white.
addEventListener("beforeprint", () => {
  document.documentElement.dataset["theme"] = "light";
});
addEventListener("afterprint", applyTheme);
followHash();
render(<App />, document.getElementById("app")!);
