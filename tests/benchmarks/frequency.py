"""B1, bulk statistics against Polars and DuckDB; B8, bulk scoring against the bare `predict` of the model library."""

import os
import resource
from pathlib import Path

import duckdb
import lightgbm
import numpy as np
import polars as pl

from pantree_frequency.backends import model_files
from pantree_frequency.core.bulk_statistics import BulkStatistics, bulk_statistics
from pantree_frequency.core.features import COLUMN, feature_table
from pantree_frequency.core.histories import Histories
from pantree_frequency.core.models.hazard import STEPS
from pantree_frequency.core.purchases import purchases_by_pair
from pantree_research.quality.households import EVALUATION_CUTOFFS, Level, Split, load_receipt_lines
from tests.benchmarks.comparison import Baseline, Comparison, best_of

# The year's lines of all households are 1.47 million; those that are not reserved are repeated until there are ten
# times as many, each time as other households.
_ROWS = 14_700_000
_THREADS = 1
_FAR_DAY = int(np.iinfo(np.int32).max)

_SQL = """
with days as (
  select household, item, day, sum(quantity) quantity, sum(price * quantity - saving) spend from lines group by all
),
gaps as (select *, day - lag(day) over (partition by household, item order by day) gap from days)
select household, item, count(*) n, avg(gap) mean, stddev_samp(gap) sd, median(gap) median,
  stddev_samp(gap) / avg(gap) cv, min(day) first, max(day) last, sum(quantity) quantity, sum(spend) spend
from gaps group by household, item
"""


def _polars_table(lines: pl.LazyFrame) -> pl.DataFrame:
    days = lines.group_by("household", "item", "day").agg(
        pl.col("quantity").sum(), (pl.col("price") * pl.col("quantity") - pl.col("saving")).sum().alias("spend")
    )
    gaps = days.sort("household", "item", "day").with_columns(
        pl.col("day").diff().over("household", "item").alias("gap")
    )
    return (
        gaps.group_by("household", "item")
        .agg(
            pl.len().alias("n"),
            pl.col("gap").mean().alias("mean"),
            pl.col("gap").std().alias("sd"),
            pl.col("gap").median().alias("median"),
            (pl.col("gap").std() / pl.col("gap").mean()).alias("cv"),
            pl.col("day").min().alias("first"),
            pl.col("day").max().alias("last"),
            pl.col("quantity").sum(),
            pl.col("spend").sum(),
        )
        .collect()
    )


def bulk_statistics_of_lines() -> Comparison:
    """B1: the table of interval statistics per (household, item), from unsorted columns, on one thread each."""
    rows = int(os.environ.get("PANTREE_BENCH_ROWS", _ROWS))
    frame = load_receipt_lines().frame
    copies = -(-rows // len(frame))
    ids, items = frame.household_id.to_numpy(), np.unique(frame.product_id, return_inverse=True)[1].astype(np.int32)
    household = np.concatenate([ids + copy * 10_000 for copy in range(copies)])[:rows]
    columns = {
        "item": np.tile(items, copies)[:rows],
        "day": np.tile(frame.day.to_numpy(np.int32), copies)[:rows],
        "quantity": np.tile(frame.quantity.to_numpy(np.int32), copies)[:rows],
        "price": np.tile(frame.price.to_numpy(np.float64), copies)[:rows],
        "saving": np.tile(frame.saving.to_numpy(np.float64), copies)[:rows],
    }
    # As they come in: by day, all households mixed.
    order = np.argsort(columns["day"], kind="stable")
    household, columns = household[order], {name: column[order] for name, column in columns.items()}
    blank = ("",) * (int(items.max()) + 1)

    def own() -> tuple[Histories, BulkStatistics]:
        histories = Histories.of_lines(
            households=household, item_names=blank, item_types=blank, item_categories=blank,
            item_indices=columns["item"], days=columns["day"], quantities=columns["quantity"],
            prices=columns["price"], savings=columns["saving"],
        )  # fmt: skip
        return histories, bulk_statistics(histories, _FAR_DAY)

    own()  # compiled before it is timed
    before = _resident_bytes()
    kept = own()
    memory = (_resident_bytes() - before) / rows
    del kept
    own_seconds = best_of(3, own)
    key = (household * len(blank) + columns["item"]) * 512 + (columns["day"] - columns["day"].min())
    floor_seconds = best_of(3, lambda: np.argsort(key))
    lazy = pl.DataFrame({"household": household, **columns}).lazy()
    polars_seconds = best_of(1, lambda: _polars_table(lazy))
    database = duckdb.connect(config={"threads": _THREADS})
    database.register("lines", lazy.collect().to_arrow())
    duckdb_seconds = best_of(1, lambda: database.execute(_SQL).to_arrow_table())
    return Comparison(
        f"statistics of {rows:,} lines",
        own_seconds,
        (
            Baseline("Polars, lazy", polars_seconds, min_speedup=30),
            Baseline("DuckDB", duckdb_seconds, min_speedup=15),
            Baseline("np.argsort of the key", floor_seconds, max_ratio=0.6),
        ),
        {
            "threads": f"{_THREADS} (Polars {pl.thread_pool_size()})",
            "MB per million lines, the grouped lines and the result": round(memory, 1),
        },
    )


def _resident_bytes() -> int:
    """Memory that the process now holds; 0 where the system does not tell."""
    status = Path("/proc/self/statm")
    return int(status.read_text().split()[1]) * resource.getpagesize() if status.exists() else 0


def bulk_scoring() -> Comparison:
    """B8: 28-day probabilities of (household, product) pairs from their lines, against `predict` on ready rows."""
    models = model_files.models_of(model_files.load(), thread_count=_THREADS)
    histories = load_receipt_lines().of(Split.VALIDATION).histories(Level.SKU)
    as_of = np.full(histories.household_count, EVALUATION_CUTOFFS[0], np.int32)
    model = models.named("hazard")
    horizon = np.array([28.0])
    priors = models.priors

    def own() -> object:
        return model.within(feature_table(purchases_by_pair(histories, as_of), priors), horizon)

    own()
    loaded = model_files.load()
    table = feature_table(purchases_by_pair(histories, as_of), priors)
    chosen = np.array([COLUMN[name] for name in loaded.manifest.features])
    values = np.repeat(table.values[:, chosen], len(STEPS), axis=0)
    rows = np.column_stack([values, np.tile(STEPS.astype(np.float32), len(table))])
    booster = lightgbm.Booster(model_str=loaded.next_trees)
    own_seconds = best_of(2, own)
    predict_seconds = best_of(2, lambda: booster.predict(rows, raw_score=True, num_threads=_THREADS))
    return Comparison(
        f"scores of {len(table):,} pairs, features included",
        own_seconds,
        (Baseline("LightGBM predict on ready rows", predict_seconds, max_ratio=0.2),),
        {"features": len(loaded.manifest.features), "pairs per second": round(len(table) / own_seconds)},
    )
