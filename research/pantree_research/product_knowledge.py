"""How good categories and related products are, by rules, by vectors and by both, on a real shop.

Prints two tables (the Complete Journey; no reserved household is read):

    python -m pantree_research.product_knowledge [--server URL --model NAME --types 150 --items 30]

With a server of the OpenAI chat API, or with `--llama-cpp`, a language model is asked about a fixed sample of the
product types and items, and two more tables compare all ways on these samples. A slow measurement can be continued
(`model_answers`). What the model adds is what the enrichment service would take over from its answers.

**Categories**: the product types with the most products, within the ten most frequent categories. What is right follows
from the shop's own hierarchy (`departments.toml`). The certainty below which the vectors take over was chosen on the
half of the types that the catalog's words were extended with; the figures are of the other half, too.

**Related products**: the shop's product types are mapped to items of the catalog by name. For each item that a
validation household buys, once, the ten suggestions are compared with what the household buys on other days within the
next 30. Items that it had bought in the 60 days before are neither suggested nor counted, so that a suggestion must be
a new idea. Popularity and co-purchases are counted on the fitting households.
"""

import argparse
import asyncio
import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pantree_domain.catalog import OTHER, load_catalog, normalize_name
from pantree_enrichment.core.facts import FactChecker
from pantree_enrichment.core.item import EnrichedItem, ItemToEnrich
from pantree_enrichment.core.rules import RulesEnricher
from pantree_research.department_accuracy import ProductType, product_types
from pantree_research.llama_cpp import MODEL, llama_cpp_server
from pantree_research.model_answers import ANSWERS, Reply, ask_all, load_replies, sample
from pantree_research.quality.households import ReceiptLines, Split, load_receipt_lines
from pantree_vector.backends.static import StaticEmbedder
from pantree_vector.core.embedder import Vector

SUGGESTIONS = 10
WITHIN_DAYS = 30
BEFORE_DAYS = 60
TYPE_COUNT = 500
CATEGORY_COUNT = 10
_RESAMPLES = 2_000

_Categorize = Callable[[str], str]
# Suggests catalog items for a catalog item, best first; the names to leave out come second.
_Suggest = Callable[[str, frozenset[str]], Sequence[str]]


@dataclass(frozen=True)
class CategoryAccuracy:
    """Accuracies of one way to find categories."""

    name: str
    all_ratio: float
    other_half_ratio: float
    """Of the types that were not used to extend the catalog's words."""


@dataclass(frozen=True)
class RelatedQuality:
    """Quality of one way to find related products."""

    name: str
    hit_ratio: float
    """Share of the queries with a suggestion that was bought."""
    precision: float
    """Mean share of ten suggestions that were bought."""
    suggestion_count: float
    """Mean number of suggestions."""
    interval: tuple[float, float]
    """95% confidence interval of `hit_ratio`, for another sample of as many items."""


class Nearest:
    """The most similar items of the catalog by the vectors of their names."""

    def __init__(self) -> None:
        self._catalog = load_catalog()
        self._embedder = StaticEmbedder()
        self._names = [item.name for item in self._catalog.items]
        self._categories = [item.category for item in self._catalog.items]
        self._vectors = np.asarray(self._embedder.embed([normalize_name(name) for name in self._names]))

    def category(self, name: str) -> str:
        """Category of the most similar item."""
        return self._categories[int(np.argmax(self._vectors @ self._vector(name)))]

    def names(self, name: str) -> list[str]:
        """All other items, most similar first."""
        order = np.argsort(-(self._vectors @ self._vector(name)), kind="stable")
        return [self._names[position] for position in order if self._names[position] != name]

    def _vector(self, name: str) -> Vector:
        vector: Vector = self._embedder.embed([normalize_name(name)])[0]
        return vector


def types_to_categorize() -> list[ProductType]:
    """The product types with the most products, within the most frequent categories."""
    frequent = Counter(category for kind in product_types() for category in kind.right_categories)
    top = {category for category, _ in frequent.most_common(CATEGORY_COUNT)}
    types = [kind for kind in product_types() if kind.right_categories <= top]
    return sorted(types, key=lambda kind: (-kind.product_count, kind.department, kind.name))[:TYPE_COUNT]


class ModelKnowledge:
    """What a language model said, and what the enrichment service makes of it.

    Args:
        replies: by name of an item.
    """

    def __init__(self, replies: Mapping[str, Reply]) -> None:
        self._replies = replies
        self._catalog = load_catalog()
        self._rules = RulesEnricher(self._catalog)
        self._checker = FactChecker(self._catalog)

    def category(self, name: str) -> str:
        """The category that the model names, however sure it is; empty if none."""
        return self._replies[name].category

    def related(self, name: str) -> list[str]:
        """The catalog's items among those that the model names, however sure it is."""
        answer = self._replies[name].answer
        found = [self._catalog.categorize(one.name).item for one in (answer.related_items if answer else ())]
        return list(dict.fromkeys(item.name for item in found if item is not None and item.name != name))

    def merged(self, name: str) -> EnrichedItem:
        """The answer of the service: by the rules, with the facts of the model that count."""
        item = ItemToEnrich(name)
        by_rules, answer = self._rules.enrich_item(item), self._replies[name].answer
        if answer is None or not self._rules.lacks_facts(item):
            return by_rules
        return self._checker.merge(by_rules, answer, is_known=self._rules.knows(item))[0]


def categories(types: Sequence[ProductType], model: ModelKnowledge | None = None) -> list[CategoryAccuracy]:
    """Accuracies of every way on product types, the baseline first."""
    rules, nearest = RulesEnricher(load_catalog()), Nearest()
    tuning = [kind for kind in types_to_categorize() if kind.is_for_tuning]
    usual = Counter(category for kind in tuning for category in kind.right_categories).most_common(1)[0][0]

    def blend(certainty: float) -> _Categorize:
        def categorize(name: str) -> str:
            found = rules.enrich_item(ItemToEnrich(name))
            is_sure = found.category != OTHER and found.certainty_ratio >= certainty
            return found.category if is_sure else nearest.category(name)

        return categorize

    best = max(np.arange(0, 1, 0.05), key=lambda certainty: _accuracy(blend(float(certainty)), tuning))
    ways: dict[str, _Categorize] = {
        f"always {usual}": lambda name: usual,
        "rules": lambda name: rules.enrich_item(ItemToEnrich(name)).category,
        "vectors": nearest.category,
        f"rules, vectors below certainty {best:.2f}": blend(float(best)),
    }
    if model is not None:
        ways |= {"model": model.category, "rules and model, as served": lambda name: model.merged(name).category}
    others = [kind for kind in types if not kind.is_for_tuning]
    return [CategoryAccuracy(name, _accuracy(way, types), _accuracy(way, others)) for name, way in ways.items()]


def _accuracy(categorize: _Categorize, types: Sequence[ProductType]) -> float:
    return sum(categorize(kind.name) in kind.right_categories for kind in types) / len(types)


@dataclass(frozen=True)
class _Query:
    """An item that a household bought, what it bought before, and what it bought within the next days."""

    name: str
    known: frozenset[str]
    bought: frozenset[str]


@dataclass(frozen=True)
class Purchases:
    """What fitting households buy, and the queries of validation households."""

    fitting: Sequence[Mapping[str, Sequence[int]]]
    """For each household: the days on which each item was bought."""
    queries: Sequence[_Query]


def load_purchases() -> Purchases:
    """The purchases of items of the catalog."""
    lines = load_receipt_lines()
    item_of = _catalog_items(lines)
    return Purchases(
        _days_of_items(lines.of(Split.FITTING), item_of),
        _queries(_days_of_items(lines.of(Split.VALIDATION), item_of)),
    )


def related(
    purchases: Purchases, queries: Sequence[_Query], model: ModelKnowledge | None = None
) -> list[RelatedQuality]:
    """The quality of every way on queries, the baseline first."""
    fitting = purchases.fitting
    rules, nearest = RulesEnricher(load_catalog()), Nearest()
    popularity = [name for name, _ in Counter(name for items in fitting for name in items).most_common()]
    by_rules = {
        name: [one.name for one in rules.enrich_item(ItemToEnrich(name)).related_items]
        for name in {query.name for query in queries}
    }
    by_vectors = {name: nearest.names(name) for name in by_rules}
    together = _bought_together(fitting)

    def suggest(lists: Sequence[Sequence[str]], known: frozenset[str]) -> list[str]:
        chosen: dict[str, None] = {}
        for name in itertools.chain(*lists):
            if len(chosen) == SUGGESTIONS:
                break
            if name not in known:
                chosen[name] = None
        return list(chosen)

    ways: dict[str, _Suggest] = {
        "popularity": lambda name, known: suggest([popularity], known),
        "rules": lambda name, known: suggest([by_rules[name]], known),
        "vectors": lambda name, known: suggest([by_vectors[name]], known),
        "rules, then vectors": lambda name, known: suggest([by_rules[name], by_vectors[name]], known),
        "rules, then popularity": lambda name, known: suggest([by_rules[name], popularity], known),
        "co-purchases of other households": lambda name, known: suggest([together.get(name, ()), popularity], known),
    }
    if model is not None:
        by_model = {name: model.related(name) for name in by_rules}
        served = {name: [one.name for one in model.merged(name).related_items] for name in by_rules}
        ways |= {
            "model": lambda name, known: suggest([by_model[name]], known),
            "rules and model, as served": lambda name, known: suggest([served[name]], known),
            "rules, then model, then vectors": lambda name, known: suggest(
                [by_rules[name], by_model[name], by_vectors[name]], known
            ),
        }
    return [_quality(name, way, queries) for name, way in ways.items()]


def _catalog_items(lines: ReceiptLines) -> Mapping[str, str]:
    """Names of catalog items by product type; types without one are left out."""
    catalog = load_catalog()
    found = {name: catalog.categorize(name).item for name in sorted(set(lines.frame.product_type))}
    return {name: item.name for name, item in found.items() if item is not None}


def _days_of_items(lines: ReceiptLines, item_of: Mapping[str, str]) -> list[dict[str, list[int]]]:
    """For each household: the days on which each catalog item was bought, ascending."""
    frame = lines.frame.assign(item=lines.frame.product_type.map(item_of)).dropna(subset=["item"])
    households: defaultdict[int, defaultdict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for household, name, day in frame[["household_id", "item", "day"]].drop_duplicates().itertuples(index=False):
        households[household][name].append(int(day))
    return [{name: sorted(days) for name, days in items.items()} for items in households.values()]


def _queries(households: Sequence[Mapping[str, Sequence[int]]]) -> list[_Query]:
    """One query for each item of each household: its middle purchase, so that there are days before and after it."""
    queries = []
    for items in households:
        last = max(day for days in items.values() for day in days)
        for name, days in sorted(items.items()):
            day = days[len(days) // 2]
            if day > last - WITHIN_DAYS:
                continue
            known = frozenset(one for one, when in items.items() if any(day - BEFORE_DAYS <= d <= day for d in when))
            bought = frozenset(one for one, when in items.items() if any(day < d <= day + WITHIN_DAYS for d in when))
            if bought - known:
                queries.append(_Query(name, known, bought - known))
    return queries


def _bought_together(households: Sequence[Mapping[str, Sequence[int]]]) -> dict[str, list[str]]:
    """For each item: the items that the most households buy that buy it, relative to what chance would give."""
    having: defaultdict[str, set[int]] = defaultdict(set)
    for number, items in enumerate(households):
        for name in items:
            having[name].add(number)
    count = len(households)

    def score(one: str, other: str) -> float:
        # Shrunk, so that rare items need more than one coincidence.
        return len(having[one] & having[other]) / (len(having[one]) * len(having[other]) / count + 10)

    return {
        one: sorted((other for other in having if other != one), key=lambda other: (-score(one, other), other))
        for one in having
    }


def _quality(name: str, suggest: _Suggest, queries: Sequence[_Query]) -> RelatedQuality:
    suggested = [suggest(query.name, query.known) for query in queries]
    hits = [len(query.bought.intersection(names)) for query, names in zip(queries, suggested, strict=True)]
    hits_of_item: defaultdict[str, list[bool]] = defaultdict(list)
    for query, count in zip(queries, hits, strict=True):
        hits_of_item[query.name].append(count > 0)
    return RelatedQuality(
        name,
        hit_ratio=sum(hit > 0 for hit in hits) / len(queries),
        precision=sum(hits) / (SUGGESTIONS * len(queries)),
        suggestion_count=sum(map(len, suggested)) / len(queries),
        interval=_interval(list(hits_of_item.values())),
    )


def _interval(hits_of_items: Sequence[Sequence[bool]]) -> tuple[float, float]:
    """95% bootstrap interval of a hit rate, over items: queries about one item are alike."""
    hits, counts = np.array([sum(hits) for hits in hits_of_items]), np.array([len(hits) for hits in hits_of_items])
    picked = np.random.default_rng(0).integers(len(hits), size=(_RESAMPLES, len(hits)))
    low, high = np.quantile(hits[picked].sum(axis=1) / counts[picked].sum(axis=1), (0.025, 0.975))
    return float(low), float(high)


def _print_categories(types: Sequence[ProductType], model: ModelKnowledge | None = None) -> None:
    print(f"\n{f'category of {len(types)} product types':42}{'all':>8}{'other half':>12}")
    for accuracy in categories(types, model):
        print(f"{accuracy.name:42}{accuracy.all_ratio:8.3f}{accuracy.other_half_ratio:12.3f}")


def _print_related(purchases: Purchases, queries: Sequence[_Query], model: ModelKnowledge | None = None) -> None:
    item_count = len({query.name for query in queries})
    title = f"related to {item_count} items, {len(queries):,} queries"
    print(f"\n{title:42}{'hit rate':>8}{'95% interval':>15}{'precision':>11}{'suggested':>11}")
    for way in related(purchases, queries, model):
        low, high = way.interval
        interval = f"{low:.3f} to {high:.3f}"
        print(f"{way.name:42}{way.hit_ratio:8.3f}{interval:>15}{way.precision:11.3f}{way.suggestion_count:11.1f}")


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description="Measures categories and related products, on a real shop.")
    server = parser.add_mutually_exclusive_group()
    server.add_argument("--server", default="", metavar="URL", help="server of a language model to ask first")
    server.add_argument("--llama-cpp", action="store_true", help="ask Gemma 270M on llama.cpp, both from PyPI")
    parser.add_argument("--model", default="meta/llama-3.1-8b-instruct", help="model that it serves")
    parser.add_argument("--types", type=int, default=0, metavar="N", help="number of product types to ask about")
    parser.add_argument("--items", type=int, default=0, metavar="N", help="number of items to ask about")
    parser.add_argument("--calls", type=int, default=1, metavar="N", help="number of concurrent calls of the model")
    parser.add_argument("--answers", type=Path, default=ANSWERS, metavar="FILE", help="file of the model's replies")
    options = parser.parse_args()
    types, purchases = types_to_categorize(), load_purchases()
    sampled_types = sample((kind.name for kind in types), options.types)
    sampled_items = sample((query.name for query in purchases.queries), options.items)
    names = [*((name, False) for name in sampled_types), *((name, True) for name in sampled_items)]
    if options.llama_cpp:
        with llama_cpp_server(options.calls) as url:
            asyncio.run(ask_all(url, MODEL, names, options.answers, max_calls=options.calls))
    elif options.server:
        asyncio.run(ask_all(options.server, options.model, names, options.answers, max_calls=options.calls))
    _print_categories(types)
    _print_related(purchases, purchases.queries)
    model = ModelKnowledge(load_replies(options.answers))
    if sampled_types:
        _print_categories([kind for kind in types if kind.name in sampled_types], model)
    if sampled_items:
        _print_related(purchases, [query for query in purchases.queries if query.name in sampled_items], model)


if __name__ == "__main__":
    main()
