import { ComponentUnavailableError, type ComponentHealth, type GetStatusResponse, type Health, type ModelDetails } from "pantree-client";
import { useEffect, useState } from "preact/hooks";
import { asksForKey, client, link } from "../api.js";
import { clock, number, share } from "../format.js";
import { Problem } from "../parts/problem.js";
import { texts } from "../texts/index.js";

const words = texts.system;
const ICONS: Readonly<Record<ComponentHealth["status"], string>> = { healthy: "✔", degraded: "▲", unavailable: "✕", disabled: "–" };
const REFRESH_MS = 10_000;

export function System() {
  const [health, setHealth] = useState<Health | null>(null);
  const [status, setStatus] = useState<GetStatusResponse | null>(null);
  const [models, setModels] = useState<readonly ModelDetails[]>([]);
  const [error, setError] = useState<unknown>(null);
  const [checkedAt, setCheckedAt] = useState<Date | null>(null);

  const check = async (): Promise<void> => {
    const pantree = client();
    const options = { maxAttempts: 1 };
    try {
      setHealth(await pantree.health(options));
      setError(null);
      setCheckedAt(new Date());
    } catch (problem) {
      setError(problem);
      return;
    }
    try {
      setStatus(await pantree.status(options));
      setModels((await pantree.models(options)).ranking?.models ?? []);
    } catch (problem) {
      // The table already says which part does not answer.
      if (!asksForKey(problem) && !(problem instanceof ComponentUnavailableError)) setError(problem);
    }
  };
  useEffect(() => {
    void check();
    const timer = setInterval(() => {
      if (!document.hidden) void check();
    }, REFRESH_MS);
    return () => clearInterval(timer);
  }, []);

  const parts = Object.entries(health?.components ?? {});
  const down = parts.filter(([, { status: state }]) => state === "unavailable").map(([name]) => name).join(", ");
  const versions = new Map(status?.components.map(({ name, version }) => [name, version]));
  return (
    <div class="system">
      <h1>{words.title}</h1>
      {error !== null && <Problem error={error} onRetry={() => void check()} />}
      <p class="verdict" data-status={health?.status ?? "none"}>
        {health ? <><span aria-hidden="true">{ICONS[health.status]}</span> {health.status === "healthy" ? words.healthy : words[health.status](down)}</> : "\u00a0"}
      </p>
      <section class="panel" aria-labelledby="parts-title">
        <div class="bar">
          <h2 id="parts-title">{words.parts}</h2>
          <span class="soft">{checkedAt && words.checked(clock(checkedAt))}</span>
          <button type="button" onClick={() => void check()}>{words.refresh}</button>
        </div>
        <div class="scroll" tabIndex={0} role="group" aria-labelledby="parts-title">
          <table>
            <thead>
              <tr>{[words.part, words.state, words.latency, words.version, words.note].map((name) => <th scope="col" key={name}>{name}</th>)}</tr>
            </thead>
            <tbody>
              {health && <Row name="gateway" state={{ status: "healthy", required: true, latency_ms: 0, message: "" }} version={health.version} />}
              {parts.map(([name, state]) => (
                <Row key={name} name={name} state={state}
                  version={name === "pipeline" ? (status?.version ?? "") : (versions.get(name) ?? "")} />
              ))}
            </tbody>
          </table>
        </div>
      </section>
      <section class="panel" aria-labelledby="models-title">
        <h2 id="models-title">{words.models}</h2>
        <p class="soft">{words.modelsIntro}</p>
        {models.map((model) => <ModelCard key={model.id} model={model} />)}
      </section>
      <section class="panel" aria-labelledby="warnings-title">
        <h2 id="warnings-title">{words.warnings}</h2>
        {status && status.recent_warnings.length === 0 && <p>{words.noWarnings}</p>}
        <ul>
          {status?.recent_warnings.map(({ component, code, message, count, last_time }) => (
            <li key={component + code}>
              <strong>{component}</strong> <bdi>{message}</bdi>{" "}
              <span class="soft">{words.times(count)}, {words.last(clock(new Date(last_time)))}</span>
            </li>
          ))}
        </ul>
      </section>
      <section class="panel" aria-labelledby="links-title">
        <h2 id="links-title">{words.links}</h2>
        <ul>
          {([["docs", words.docs], ["openapi.json", words.openapi], ["asyncapi.json", words.asyncapi], ["metrics", words.metrics]] as const).map(
            ([path, name]) => <li key={path}><a href={link(path)}>{name}</a></li>,
          )}
        </ul>
      </section>
    </div>
  );
}

function Row({ name, state, version }: { name: string; state: ComponentHealth; version: string }) {
  return (
    <tr data-status={state.status}>
      <th scope="row">{name}{!state.required && <span class="soft"> {words.optional}</span>}</th>
      <td data-label={words.state}><span><span aria-hidden="true">{ICONS[state.status]}</span> {words.states[state.status]}</span></td>
      <td class="number" data-label={words.latency}>{state.latency_ms > 0 && words.milliseconds(number(state.latency_ms))}</td>
      <td data-label={words.version}>{version}</td>
      <td data-label={words.note}><bdi>{state.message}</bdi></td>
    </tr>
  );
}

function ModelCard({ model }: { model: ModelDetails }) {
  const use = model.share_ratio > 0 ? words.share(share(model.share_ratio)) : words.notUsed;
  return (
    <details class="model">
      <summary>
        <strong>{model.model?.name}</strong> {model.model?.version} <span class="soft">{use}{model.is_fallback && `; ${words.fallback}`}</span>
      </summary>
      <dl>
        {model.training_data && <div><dt>{words.trainedOn}</dt><dd>{model.training_data}</dd></div>}
        {Object.keys(model.metrics).length > 0 && (
          <div>
            <dt>{words.measured}</dt>
            <dd>{Object.entries(model.metrics).map(([name, value]) => `${name.replaceAll("_", " ")} ${Number(value.toPrecision(4))}`).join(", ")}</dd>
          </div>
        )}
        <div><dt>{words.looksAt}</dt><dd>{model.features.map((feature) => feature.replaceAll("_", " ")).join(", ")}</dd></div>
        {model.checksum && <div><dt>{words.checksum}</dt><dd class="code">{model.checksum}</dd></div>}
      </dl>
    </details>
  );
}
