"""`pantree batch`: every household of a retailer, from table to table."""

import contextlib
import importlib.util
import json
import os
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as ProgressBar
from rich.table import Table

from pantree_cli.help import examples

if TYPE_CHECKING:
    from pantree_batch.changes import ChangeSink
    from pantree_batch.engine import Engine
    from pantree_batch.run import Progress, RunState

batch_app = typer.Typer(
    help="Score every household of a retailer, from table to table.",
    no_args_is_help=True,
    rich_markup_mode=None,
    epilog=examples(
        "pantree batch layout purchases.parquet table/",
        "pantree batch status runs/",
    ),
)
console = Console(markup=False, emoji=False, highlight=False)
errors = Console(stderr=True, markup=False, emoji=False)

InTable = Annotated[Path, typer.Argument(metavar="TABLE", help="Directory written by pantree batch layout.")]
Out = Annotated[Path, typer.Argument(metavar="OUT", help="Directory of the runs.")]
EngineName = Annotated[
    str, typer.Option("--engine", metavar="local|spark", help="What runs it: processes of this machine, or Spark.")
]
Workers = Annotated[
    int,
    typer.Option(metavar="N", min=1, max=1024, help="Processes of the local engine; one per processor by default."),
]
Master = Annotated[
    str,
    typer.Option(
        metavar="URL", help="Master of Spark, such as local-cluster[2,1,1024]; by default, Spark's or local[*,20]."
    ),
]
Conf = Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="Setting of Spark; repeat it for several.")]
MaxRecommendations = Annotated[
    int | None, typer.Option(metavar="N", min=1, max=100, help="Maximum number of offers of a household.")
]
WaveBuckets = Annotated[int, typer.Option(metavar="N", min=1, max=4096, help="Buckets that are committed together.")]
MaxRejected = Annotated[
    float,
    typer.Option(metavar="RATIO", min=0, max=1, help="Share of households that may fail before the run stops."),
]
Metrics = Annotated[
    Path | None, typer.Option(metavar="FILE", help="File to keep up to date with metrics in Prometheus's format.")
]
Topic = Annotated[str, typer.Option(metavar="TOPIC", help="Topic of Kafka that gets the changes.")]
BootstrapServers = Annotated[
    str,
    typer.Option(
        metavar="HOST:PORT,…", envvar="PANTREE_BATCH_KAFKA_SERVERS", help="Servers of Kafka, separated by commas."
    ),
]
KafkaConfig = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        envvar="PANTREE_BATCH_KAFKA_CONFIG",
        help="File of librdkafka's settings, such as security.protocol=SASL_SSL, one a line.",
    ),
]
_CPUS = os.cpu_count() or 1


@batch_app.command(epilog=examples("pantree batch layout purchases.parquet table/ --buckets 64"))
def layout(
    purchases: Annotated[Path, typer.Argument(metavar="IN", help="Parquet file, or directory of such files.")],
    table: Annotated[Path, typer.Argument(metavar="TABLE", help="Directory to write.")],
    buckets: Annotated[int, typer.Option(metavar="N", min=1, max=4096, help="Number of buckets.")] = 64,
) -> None:
    """Write purchases as a table that can be scored.

    It has buckets of whole households, each sorted.
    Invalid lines are left out and listed, with reasons, in TABLE/quarantine.parquet.
    """
    _check_installed()
    from pantree_batch.layout import lay_out

    with _translated_errors(), _bar("laying out lines") as bar:
        task = bar.add_task("laying out", total=None, rate="")
        written = lay_out(purchases, table, buckets, lambda done, total: bar.update(task, completed=done, total=total))
    console.print(
        f"{written.line_count:,} lines of {written.household_count:,} households in {written.bucket_count:,} buckets "
        f"in {table}; {written.rejected_count:,} lines left out."
    )


@batch_app.command(epilog=examples("pantree batch score table/ runs/ --as-of 2026-11-30"))
def score(
    table: InTable,
    out: Out,
    as_of: Annotated[
        datetime,
        typer.Option(metavar="YYYY-MM-DD", formats=["%Y-%m-%d"], help="As-of date; later purchases don't count."),
    ],
    engine: EngineName = "local",
    workers: Workers = _CPUS,
    master: Master = "",
    conf: Conf = None,
    max_recommendations: MaxRecommendations = None,
    wave_buckets: WaveBuckets = 16,
    max_rejected: MaxRejected = 0.05,
    metrics: Metrics = None,
) -> None:
    """Score all households of a table.

    The run is published in OUT/run_id=ID.
    A run that was stopped continues where it stopped. A run that is published is not repeated.
    """
    chosen = _engine(engine, workers, master, conf)
    from pantree_batch.run import ScoreOptions
    from pantree_batch.run import score as run

    with _translated_errors(), _progress(metrics) as progress:
        options = ScoreOptions(as_of.date(), max_recommendations, wave_buckets)
        state = run(table, out, options, engine=chosen, max_rejected_ratio=max_rejected, progress=progress)
    _print_published(state, out)


@batch_app.command(epilog=examples("pantree batch backtest table/ runs/ --from 2026-09-01 --weeks 12"))
def backtest(
    table: InTable,
    out: Out,
    begin: Annotated[
        datetime,
        typer.Option("--from", metavar="YYYY-MM-DD", formats=["%Y-%m-%d"], help="Day on which the plans are made."),
    ],
    weeks: Annotated[
        int, typer.Option(metavar="N", min=1, max=12, help="Weeks to replay; the table must have their purchases.")
    ] = 12,
    engine: EngineName = "local",
    workers: Workers = _CPUS,
    master: Master = "",
    conf: Conf = None,
    max_recommendations: MaxRecommendations = None,
    wave_buckets: WaveBuckets = 16,
    max_rejected: MaxRejected = 0.05,
    metrics: Metrics = None,
) -> None:
    """Replay the plans of a past day on what was really bought.

    The run is published in OUT/run_id=ID, with report.html to send on and report.json for programs.
    A run that was stopped continues where it stopped.
    """
    chosen = _engine(engine, workers, master, conf)
    from pantree_batch.report import PAGE, REPORT
    from pantree_batch.run import ScoreOptions
    from pantree_batch.run import score as run

    with _translated_errors(), _progress(metrics) as progress:
        options = ScoreOptions(begin.date(), max_recommendations, wave_buckets, weeks)
        state = run(table, out, options, engine=chosen, max_rejected_ratio=max_rejected, progress=progress)
    directory = out / f"run_id={state.run_id}"
    _print_backtest(json.loads((directory / REPORT).read_bytes()))
    console.print(f"Report: {directory / PAGE}", soft_wrap=True)


@batch_app.command(epilog=examples("pantree batch resume runs/"))
def resume(
    out: Out,
    run_id: Annotated[str, typer.Argument(metavar="[RUN]", help="Run to continue, if there are several.")] = "",
    engine: EngineName = "local",
    workers: Workers = _CPUS,
    master: Master = "",
    conf: Conf = None,
    max_rejected: MaxRejected = 0.05,
    metrics: Metrics = None,
) -> None:
    """Continue a run that was stopped. Committed buckets are not scored again.

    The engine may be another one than before.
    """
    chosen = _engine(engine, workers, master, conf)
    from pantree_batch.run import resume as run

    with _translated_errors(), _progress(metrics) as progress:
        state = run(out, run_id, engine=chosen, max_rejected_ratio=max_rejected, progress=progress)
    _print_published(state, out)


@batch_app.command(epilog=examples("pantree batch status runs/"))
def status(out: Out) -> None:
    """List the runs, and how far each is."""
    _check_installed()
    from pantree_batch.run import states_of

    table = Table("run", "state", "waves", "households", "offers", "failed", box=None)
    for state in states_of(out):
        table.add_row(
            state.run_id,
            "published" if state.published else "unpublished",
            f"{state.committed_wave_count}/{state.wave_count}",
            f"{state.done_household_count:,}/{state.household_count:,}",
            f"{state.offer_count:,}",
            f"{state.rejected_count:,}",
        )
    console.print(table)


@batch_app.command(
    epilog=examples(
        "pantree batch changes runs/ RUN_A RUN_B --to file --file changes.jsonl",
        "pantree batch changes runs/ RUN_A RUN_B --to webhook --url URL",
        "pantree batch changes runs/ RUN_A RUN_B --to kafka --topic offers",
    )
)
def changes(
    out: Out,
    run_a: Annotated[str, typer.Argument(metavar="RUN_A", help="Earlier run.")],
    run_b: Annotated[str, typer.Argument(metavar="RUN_B", help="Later run.")],
    to: Annotated[str, typer.Option(metavar="file|webhook|kafka", help="Where the changes go.")] = "file",
    file: Annotated[Path, typer.Option(metavar="FILE", help="File of JSON lines to write.")] = Path("changes.jsonl"),
    url: Annotated[str, typer.Option(metavar="URL", help="Address of the webhook.")] = "",
    token: Annotated[
        str, typer.Option(metavar="TOKEN", envvar="PANTREE_BATCH_WEBHOOK_TOKEN", help="Bearer token of the webhook.")
    ] = "",
    topic: Topic = "",
    bootstrap_servers: BootstrapServers = "",
    kafka_config: KafkaConfig = None,
) -> None:
    """Send what changed from one run to another.

    These are offers that were added, changed or removed.
    """
    _check_installed()
    from pantree_batch.changes import FileSink, send_changes
    from pantree_batch.changes import changes as find

    if to not in ("file", "webhook", "kafka"):
        raise typer.BadParameter(f"must be file, webhook or kafka; is {to}", param_hint="--to")
    if to == "kafka":
        _check_kafka(topic)
    if to == "webhook":
        _check_url(url)
    with _translated_errors():
        # Before a file is opened: whether there are such runs.
        found = find(out, run_a, run_b)
        first = next(found, None)
        if to == "kafka":
            sink = _kafka_sink(topic, bootstrap_servers, kafka_config)
        else:
            sink = FileSink(file) if to == "file" else _webhook_sink(url, token)

        def all_changes() -> Iterator[dict[str, object]]:
            if first is not None:
                yield first
            yield from found

        counts = send_changes(all_changes(), sink)
    summary = ", ".join(f"{count:,} {kind}" for kind, count in counts.items())
    target = {"file": str(file), "webhook": url, "kafka": f"topic {topic}"}[to]
    console.print(f"{summary}: {target}", soft_wrap=True)


def _check_url(url: str) -> None:
    if not url.startswith(("http://", "https://")):
        raise typer.BadParameter("must be a URL such as https://crm.example/offers", param_hint="--url")


def _check_kafka(topic: str) -> None:
    if not topic:
        raise typer.BadParameter("must name the topic that gets the changes", param_hint="--topic")
    if importlib.util.find_spec("confluent_kafka") is None:
        raise typer.BadParameter("Kafka needs more packages: pip install 'pantree[batch-kafka]'", param_hint="--topic")


def _webhook_sink(url: str, token: str) -> "ChangeSink":
    import httpx

    from pantree_batch.changes import WebhookSink

    return WebhookSink(httpx.Client(timeout=30), url, token)


def _kafka_sink(topic: str, servers: str, config: Path | None) -> "ChangeSink":
    from pantree_batch.kafka import KafkaSink, read_settings

    return KafkaSink.open(servers, topic, read_settings(config) if config else {})


@batch_app.command(epilog=examples("pantree batch nightly purchases/ nights/ --keep-runs 14"))
def nightly(
    purchases: Annotated[Path, typer.Argument(metavar="IN", help="Parquet file, or directory of such files.")],
    directory: Annotated[Path, typer.Argument(metavar="DIRECTORY", help="Directory of all nights.")],
    as_of: Annotated[
        datetime | None,
        typer.Option(metavar="YYYY-MM-DD", formats=["%Y-%m-%d"], help="As-of date; by default today."),
    ] = None,
    buckets: Annotated[int, typer.Option(metavar="N", min=1, max=4096, help="Number of buckets.")] = 64,
    engine: EngineName = "local",
    workers: Workers = _CPUS,
    master: Master = "",
    conf: Conf = None,
    max_recommendations: MaxRecommendations = None,
    wave_buckets: WaveBuckets = 16,
    max_rejected: MaxRejected = 0.05,
    keep_runs: Annotated[
        int, typer.Option(metavar="N", min=0, help="Published runs to keep; older ones are removed. 0 keeps all.")
    ] = 0,
    url: Annotated[str, typer.Option(metavar="URL", help="Webhook that gets the changes instead of a file.")] = "",
    token: Annotated[
        str, typer.Option(metavar="TOKEN", envvar="PANTREE_BATCH_WEBHOOK_TOKEN", help="Bearer token of the webhook.")
    ] = "",
    topic: Topic = "",
    bootstrap_servers: BootstrapServers = "",
    kafka_config: KafkaConfig = None,
    metrics: Metrics = None,
) -> None:
    """Lay out, score and send the changes, every night.

    A scheduler runs it. The command may be repeated: it does what is missing.
    It first resumes a run of an earlier night that was stopped.
    """
    if url and topic:
        raise typer.BadParameter("changes go to a webhook or to Kafka, not to both", param_hint="--url")
    if url:
        _check_url(url)
    if topic:
        _check_kafka(topic)
    chosen = _engine(engine, workers, master, conf)
    from pantree_batch.nightly import RUNS, run_night
    from pantree_batch.run import ScoreOptions

    day = (as_of or datetime.now()).date()
    with _translated_errors(), _progress(metrics) as progress:
        # Before the night's work, which a wrong setting would make worthless.
        sink = _webhook_sink(url, token) if url else None
        if topic:
            sink = _kafka_sink(topic, bootstrap_servers, kafka_config)
        night = run_night(
            purchases,
            directory,
            ScoreOptions(day, max_recommendations, wave_buckets),
            buckets,
            engine=chosen,
            sink=sink,
            keep_runs=keep_runs,
            max_rejected_ratio=max_rejected,
            progress=progress,
            on_problem=lambda text: errors.print(f"warning: {text}", style="yellow", highlight=False, soft_wrap=True),
        )
    _print_published(night.run, directory / RUNS)
    if night.before_id:
        summary = ", ".join(f"{count:,} {kind}" for kind, count in night.change_counts.items())
        console.print(f"{summary} since {night.before_id}", soft_wrap=True)


def _print_published(state: "RunState", out: Path) -> None:
    console.print(
        f"{state.household_count - state.rejected_count:,} households, {state.offer_count:,} offers, "
        f"{state.rejected_count:,} households failed: {out / f'run_id={state.run_id}'}",
        soft_wrap=True,
    )


def _print_backtest(report: dict[str, Any]) -> None:
    """A few lines of the report."""

    def shown(name: str, form: str) -> str:
        figure = report["figures"][name]
        if figure["value"] is None:
            return "unknown"
        value, low, high = (format(figure[end], form) for end in ("value", "low", "high"))
        return f"{value} ({low} to {high})"

    table = Table(box=None, show_header=False)
    table.add_row("households", f"{report['household_count']:,}")
    table.add_row("subscriptions", f"{report['subscription_count']:,}")
    for text, name in (
        ("households with an offer", "offered_household_ratio"),
        ("bought again in time", "bought_again_ratio"),
        ("early deliveries", "early_delivery_ratio"),
        ("needs that had run out", "stockout_ratio"),
    ):
        table.add_row(text, shown(name, ".1%"))
    table.add_row("units delivered over used", shown("delivered_per_used_ratio", ".2f"))
    for amounts in report["amounts"]:
        currency = f" {amounts['currency_code']}" if amounts["currency_code"] else ""
        for text, name in (
            ("savings promised", "promised_savings"),
            ("saved on used units", "kept_savings"),
            ("discounts cost", "discount_cost"),
        ):
            table.add_row(text, f"{amounts['figures'][name]['value']:,.2f}{currency}")
    console.print(table)


def _engine(name: str, workers: int, master: str, conf: list[str] | None) -> "Engine":
    _check_installed()
    if name == "local":
        if master or conf:
            raise typer.BadParameter("--master and --conf need --engine spark", param_hint="--engine")
        from pantree_batch.engines.local import LocalEngine

        return LocalEngine(workers)
    if name != "spark":
        raise typer.BadParameter(f"must be local or spark; is {name}", param_hint="--engine")
    settings = [one.partition("=") for one in conf or []]
    if any(not separator for _, separator, _ in settings):
        raise typer.BadParameter("must be NAME=VALUE, such as spark.executor.memory=2g", param_hint="--conf")
    if importlib.util.find_spec("pyspark") is None:
        raise typer.BadParameter("Spark needs more packages: pip install 'pantree[batch-spark]'", param_hint="--engine")
    from pantree_batch.engines.spark import SparkEngine

    return SparkEngine(master, {setting: value for setting, _, value in settings})


def _check_installed() -> None:
    if importlib.util.find_spec("pyarrow") is None or importlib.util.find_spec("numba") is None:
        raise typer.BadParameter("a batch needs more packages: pip install 'pantree[batch]'")


@contextlib.contextmanager
def _translated_errors() -> Iterator[None]:
    from pantree_batch.errors import BatchError

    try:
        yield
    except (BatchError, OSError) as error:
        errors.print(f"error: {error}", style="red", highlight=False, soft_wrap=True)
        raise typer.Exit(1) from None


def _bar(text: str) -> ProgressBar:
    return ProgressBar(
        TextColumn(text),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )


@contextlib.contextmanager
def _progress(metrics: Path | None) -> Iterator["Progress"]:
    """Progress with rate and remaining time on standard error, and metrics in a file."""
    from pantree_batch.run import Progress

    bar = _bar("scoring households")

    class Shown(Progress):
        def __init__(self) -> None:
            self._task = bar.add_task("scoring", total=None, rate="")
            self._started_at, self._done, self._first, self._total = time.monotonic(), 0, 0, 0
            self._waves = (0, 0)

        def start(self, done: int, total: int) -> None:
            self._started_at, self._done, self._first, self._total = time.monotonic(), done, done, total
            bar.update(self._task, completed=done, total=total)
            self._write()

        def advance(self, households: int) -> None:
            self._done += households
            rate = (self._done - self._first) / max(time.monotonic() - self._started_at, 1e-9)
            bar.update(self._task, completed=self._done, rate=f"{max(rate, 0):,.0f}/s")
            self._write()

        def committed(self, wave: int, wave_count: int) -> None:
            self._waves = (wave, wave_count)
            self._write()

        def _write(self) -> None:
            if metrics is None:
                return
            seconds = time.monotonic() - self._started_at
            values = {
                "pantree_batch_households_done": self._done,
                "pantree_batch_households": self._total,
                "pantree_batch_waves_committed": self._waves[0],
                "pantree_batch_waves": self._waves[1],
                "pantree_batch_seconds": round(seconds, 3),
            }
            text = "".join(f"# TYPE {name} gauge\n{name} {value}\n" for name, value in values.items())
            unfinished = metrics.with_name(f".{metrics.name}.unfinished")
            unfinished.write_text(text, "utf-8")
            unfinished.replace(metrics)

    with bar:
        yield Shown()
