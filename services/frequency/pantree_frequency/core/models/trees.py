"""Boosted trees over (pair, step) rows, evaluated tree by tree for many pairs at once; compiled.

The rows of a pair differ in one column alone, the step's end, and the steps are the same for all pairs. So what the
steps decide in a tree is worked out once, when the trees are read, and the rest once per pair, not once per row.

A tree is not walked. Its leaves are the bits of a word, from left to right; each node that sends a pair to the right
strikes out the leaves on its left, whether the pair's path meets it or not; the lowest bit left over is the leaf that
the path ends at. That has no branches to guess wrong and serves many pairs with one instruction: some six times as
fast as walking. The scores are those of LightGBM to the last bit: the same comparisons, the same order of additions.

Sources: C. Lucchese et al., "QuickScorer: A Fast Algorithm to Rank Documents with Additive Ensembles of Regression
Trees", SIGIR 2015; G. Ke et al., "LightGBM", NeurIPS 2017; the fields are those of its text form, version 4.
"""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from pantree_domain.compiled import compiled

Floats: TypeAlias = NDArray[np.float64]
Rows: TypeAlias = NDArray[np.float32]
Integers: TypeAlias = NDArray[np.int32]
Words: TypeAlias = NDArray[np.uint64]

# Bits of a node's decision_type.
_CATEGORICAL, _DEFAULT_LEFT = 1, 2
_MISSING_SHIFT, _MISSING_ZERO, _MISSING_NAN = 2, 1, 2
# What LightGBM takes for zero, the end included.
_ZERO = 1.0000000180025095e-35  # 1e-35 as a float of 32 bits
_MOST_LEAVES = 64
_ALL_LEAVES = np.uint64(2**_MOST_LEAVES - 1)
_PAIRS_AT_A_TIME = 128
# Fewer pairs are not worth another thread.
_LEAST_PAIRS_PER_THREAD = 512

# Position of a word's only bit: its product with this number has a different number in the highest six bits for each.
# Source: C. Leiserson, H. Prokop, K. Randall, "Using de Bruijn Sequences to Index a 1 in a Computer Word", 1998.
_DE_BRUIJN = 0x03F79D71B4CB0A89
_FACTOR, _SHIFT, _ONE = np.uint64(_DE_BRUIJN), np.uint64(58), np.uint64(1)
_POSITIONS = np.zeros(_MOST_LEAVES, np.int64)
_POSITIONS[[(_DE_BRUIJN << bit) % 2**64 >> 58 for bit in range(_MOST_LEAVES)]] = range(_MOST_LEAVES)

_TREE = re.compile(r"^Tree=\d+\n(.*?)^\n", re.MULTILINE | re.DOTALL)


class StepTrees:
    """Trees whose last column is the end of a step.

    Args:
        text: trees in LightGBM's text form; their last column is the step's end.
        steps: float64[s], ends of the steps, ascending.
        thread_count: how many threads share the pairs of one question.

    Raises:
        ValueError: when the text has no trees, or trees of a kind that is not known here.
    """

    def __init__(self, text: str, steps: Floats, thread_count: int = 1) -> None:
        trees = list(_trees_of(text))
        if not trees:
            raise ValueError("the text has no trees; give LightGBM's text form of a model")
        feature_count = re.search(r"^max_feature_idx=(\d+)$", text, re.MULTILINE)
        if feature_count is None:
            raise ValueError("the text does not say max_feature_idx; give LightGBM's text form of a model")
        self.feature_count = int(feature_count[1])
        """Columns beside the step's end."""
        features, thresholds, decisions = (
            np.concatenate([tree[name] for tree in trees]) for name in ("split_feature", "threshold", "decision_type")
        )
        decisions = decisions.astype(np.int32)
        if np.any(decisions & _CATEGORICAL) or re.search(r"^is_linear=1$", text, re.MULTILINE):
            raise ValueError("the trees have categorical splits or linear leaves; fit them without")
        if max(len(tree["leaf_value"]) for tree in trees) > _MOST_LEAVES:
            raise ValueError(f"a tree has more than {_MOST_LEAVES} leaves; fit them with num_leaves={_MOST_LEAVES}")
        orders, kept = zip(*(_leaves_of(tree) for tree in trees), strict=True)
        self._leaf_values = np.concatenate(
            [tree["leaf_value"][order] for tree, order in zip(trees, orders, strict=True)]
        )
        self._first_leaves = np.cumsum([0, *(len(order) for order in orders)])[:-1].astype(np.int32)
        kept_by_node = np.concatenate(kept)
        tree_of_node = np.repeat(np.arange(len(trees)), [len(own) for own in kept]).astype(np.int32)
        of_step = features == self.feature_count

        allowed = np.full((len(trees), len(steps)), _ALL_LEAVES)
        for tree, threshold, leaves in zip(
            tree_of_node[of_step], thresholds[of_step], kept_by_node[of_step], strict=True
        ):
            allowed[tree, steps > threshold] &= leaves
        # Neighboring steps that a tree treats alike share their leaf.
        begins = np.diff(allowed, axis=1, prepend=~allowed[:, :1]) != 0
        self._group_trees, self._group_starts = (places.astype(np.int32) for places in np.nonzero(begins))
        ends = np.append(self._group_starts[1:], 0)
        self._group_ends = np.where(ends == 0, len(steps), ends).astype(np.int32)
        self._group_leaves = allowed[begins]

        # Nodes by what they ask for. A column is a feature and what is done where it is missing.
        asked = np.flatnonzero(~of_step)
        asked = asked[np.lexsort((thresholds[asked], decisions[asked], features[asked]))]
        columns = np.stack([features[asked].astype(np.int32), decisions[asked]])
        starts = np.flatnonzero(np.any(np.diff(columns, axis=1, prepend=-1) != 0, axis=0))
        self._column_features, self._column_decisions = np.ascontiguousarray(columns[:, starts])
        self._column_starts = np.append(starts, len(asked)).astype(np.int32)
        self._thresholds = _rounded_down(thresholds[asked])
        self._node_trees, self._node_leaves = tree_of_node[asked], kept_by_node[asked]
        self._step_count = len(steps)
        self._thread_count = thread_count

    def scores(self, values: Rows) -> Floats:
        """float64[p, s], the trees' raw score of each pair at each step.

        Args:
            values: float32[p, feature_count].
        """
        out = np.empty((len(values), self._step_count))
        share = max(-(-len(values) // self._thread_count), _LEAST_PAIRS_PER_THREAD)

        def fill(start: int) -> None:
            part = slice(start, start + share)
            _fill_scores(
                values[part], self._column_features, self._column_decisions, self._column_starts, self._thresholds,
                self._node_trees, self._node_leaves, self._group_trees, self._group_starts, self._group_ends,
                self._group_leaves, self._first_leaves, self._leaf_values, out[part],
            )  # fmt: skip

        starts = range(0, len(values), share)
        if len(starts) <= 1:
            for start in starts:
                fill(start)
        else:
            with ThreadPoolExecutor(len(starts)) as executor:
                list(executor.map(fill, starts))
        return out


def _trees_of(text: str) -> Iterator[dict[str, Floats]]:
    """The arrays of each tree; a tree of one leaf has empty ones for its nodes."""
    wanted = ("split_feature", "threshold", "decision_type", "left_child", "right_child", "leaf_value")
    for block in _TREE.findall(text + "\n"):
        fields = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        yield {name: np.array([float(value) for value in fields.get(name, "").split()]) for name in wanted}


def _leaves_of(tree: dict[str, Floats]) -> tuple[list[int], Words]:
    """The leaves from left to right, and the bits of those that each node keeps when it sends a pair to the right."""
    lefts, rights = tree["left_child"].astype(int).tolist(), tree["right_child"].astype(int).tolist()
    order: list[int] = []
    kept = [0] * len(lefts)

    def visit(node: int) -> None:
        if node < 0:  # −1 − leaf
            order.append(-1 - node)
            return
        first = len(order)
        visit(lefts[node])
        struck = 2 ** len(order) - 2**first
        kept[node] = int(_ALL_LEAVES) - struck
        visit(rights[node])

    visit(0 if lefts else -1)
    return order, np.array(kept, np.uint64)


def _rounded_down(thresholds: Floats) -> Rows:
    """The greatest 32-bit numbers not above the thresholds: comparisons with 32-bit values stay the same."""
    with np.errstate(over="ignore"):
        rounded = thresholds.astype(np.float32)
    return np.where(rounded > thresholds, np.nextafter(rounded, np.float32(-np.inf)), rounded)


@compiled()
def _fill_scores(
    values: Rows,
    column_features: Integers,
    column_decisions: Integers,
    column_starts: Integers,
    thresholds: Rows,
    node_trees: Integers,
    node_leaves: Words,
    group_trees: Integers,
    group_starts: Integers,
    group_ends: Integers,
    group_leaves: Words,
    first_leaves: Integers,
    leaf_values: Floats,
    out: Floats,
) -> None:
    """Fills in the sum of the leaves that each pair reaches at each step.

    Args:
        values: float32[p, f].
        column_features: int32[c], what each column asks for.
        column_decisions: int32[c], LightGBM's decision_type, which says what becomes of missing values.
        column_starts: int32[c + 1], nodes of each column.
        thresholds: float32[n], the largest value that goes left.
        node_trees: int32[n], tree of each node.
        node_leaves: uint64[n], leaves that are left when a node sends a pair to the right.
        group_trees: int32[g], ascending, tree of each group of steps that the tree treats alike.
        group_starts: int32[g], first step of the group.
        group_ends: int32[g], end of its steps.
        group_leaves: uint64[g], leaves that the steps leave over.
        first_leaves: int32[t], where the leaves of each tree begin.
        leaf_values: float64[l], tree by tree, from left to right.
        out: float64[p, s].
    """
    tree_count, step_count = len(first_leaves), out.shape[1]
    size = min(len(values), _PAIRS_AT_A_TIME)
    asked = np.empty(size, np.float32)
    left = np.empty((tree_count, size), np.uint64)
    leaf = np.empty(size)
    sums = np.empty((step_count, size))
    for block in range(0, len(values), _PAIRS_AT_A_TIME):
        count = min(size, len(values) - block)
        left[:] = _ALL_LEAVES
        for column in range(len(column_features)):
            feature, decision = column_features[column], column_decisions[column]
            missing = decision >> _MISSING_SHIFT
            # What goes left whatever the threshold, and what goes right.
            stand_in = np.float32(-np.inf) if decision & _DEFAULT_LEFT else np.float32(np.nan)
            for pair in range(count):
                value = values[block + pair, feature]
                if np.isnan(value):
                    value = stand_in if missing == _MISSING_NAN else np.float32(0.0)
                if abs(value) <= _ZERO:
                    value = stand_in if missing == _MISSING_ZERO else np.float32(0.0)
                asked[pair] = value
            for node in range(column_starts[column], column_starts[column + 1]):
                threshold, leaves, of_tree = thresholds[node], node_leaves[node], left[node_trees[node]]
                for pair in range(count):
                    of_tree[pair] &= _ALL_LEAVES if asked[pair] <= threshold else leaves
        sums[:] = 0.0
        for group in range(len(group_trees)):
            tree, leaves = group_trees[group], group_leaves[group]
            first, of_tree = first_leaves[tree], left[tree]
            for pair in range(count):
                remaining = of_tree[pair] & leaves
                lowest = remaining & (~remaining + _ONE)
                leaf[pair] = leaf_values[first + _POSITIONS[(lowest * _FACTOR) >> _SHIFT]]
            for step in range(group_starts[group], group_ends[group]):
                for pair in range(count):
                    sums[step, pair] += leaf[pair]
        for pair in range(count):
            for step in range(step_count):
                out[block + pair, step] = sums[step, pair]
