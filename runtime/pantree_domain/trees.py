"""Boosted trees over (pair, step) rows, evaluated tree by tree for many pairs at once; compiled.

The rows of a pair differ only in the step's end, and the steps are the same for all pairs. Therefore the effect of the
steps on each tree is computed once, when the trees are read, and the rest once per pair rather than once per row.

Trees are not traversed. Each leaf is a bit of a word, from left to right; a node that sends a pair to the right clears
the bits of the leaves on its left, whether or not the pair's path visits it; the lowest bit that is still set is the
leaf where the path ends. Without branches, one instruction serves many pairs: about six times as fast as traversal. The
scores equal LightGBM's to the last bit: same comparisons, same order of additions.

Sources: C. Lucchese et al., "QuickScorer: A Fast Algorithm to Rank Documents with Additive Ensembles of Regression
Trees", SIGIR 2015; G. Ke et al., "LightGBM", NeurIPS 2017; the fields are those of its text form, version 4.
"""

import re
from collections.abc import Iterator
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
# LightGBM treats values up to this one as zero.
_ZERO = 1.0000000180025095e-35  # 1e-35 as a float of 32 bits
_MAX_LEAVES = 64
_ALL_LEAVES = np.uint64(2**_MAX_LEAVES - 1)
_BLOCK_PAIRS = 128

# Position of a word's only bit: its product with this number has a different number in the highest six bits for each.
# Source: C. Leiserson, H. Prokop, K. Randall, "Using de Bruijn Sequences to Index a 1 in a Computer Word", 1998.
_DE_BRUIJN = 0x03F79D71B4CB0A89
_FACTOR, _SHIFT, _ONE = np.uint64(_DE_BRUIJN), np.uint64(58), np.uint64(1)
_POSITIONS = np.zeros(_MAX_LEAVES, np.int64)
_POSITIONS[[(_DE_BRUIJN << bit) % 2**64 >> 58 for bit in range(_MAX_LEAVES)]] = range(_MAX_LEAVES)

_TREE = re.compile(r"^Tree=\d+\n(.*?)^\n", re.MULTILINE | re.DOTALL)


class StepTrees:
    """Scores pairs at each step, with trees whose last column is the end of the step.

    Args:
        text: trees in LightGBM's text form; their last column is the step's end.
        steps: float64[s], ends of the steps, ascending.

    Raises:
        ValueError: if the text has no trees, or trees of an unsupported kind.
    """

    def __init__(self, text: str, steps: Floats) -> None:
        trees = list(_trees_of(text))
        if not trees:
            raise ValueError("the text has no trees; it must be LightGBM's text form of a model")
        feature_count = re.search(r"^max_feature_idx=(\d+)$", text, re.MULTILINE)
        if feature_count is None:
            raise ValueError("the text lacks max_feature_idx; it must be LightGBM's text form of a model")
        self.feature_count = int(feature_count[1])
        """Columns before the step's end."""
        features, thresholds, decisions = (
            np.concatenate([tree[name] for tree in trees]) for name in ("split_feature", "threshold", "decision_type")
        )
        decisions = decisions.astype(np.int32)
        if np.any(decisions & _CATEGORICAL) or re.search(r"^is_linear=1$", text, re.MULTILINE):
            raise ValueError("the trees have categorical splits or linear leaves; fit them without")
        if max(len(tree["leaf_value"]) for tree in trees) > _MAX_LEAVES:
            raise ValueError(f"a tree has more than {_MAX_LEAVES} leaves; fit them with num_leaves={_MAX_LEAVES}")
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
        # Adjacent steps that a tree treats alike share their leaf.
        begins = np.diff(allowed, axis=1, prepend=~allowed[:, :1]) != 0
        self._group_trees, self._group_starts = (places.astype(np.int32) for places in np.nonzero(begins))
        ends = np.append(self._group_starts[1:], 0)
        self._group_ends = np.where(ends == 0, len(steps), ends).astype(np.int32)
        self._group_leaves = allowed[begins]

        # Nodes by column: a feature, and how its missing values are handled.
        nodes = np.flatnonzero(~of_step)
        nodes = nodes[np.lexsort((thresholds[nodes], decisions[nodes], features[nodes]))]
        columns = np.stack([features[nodes].astype(np.int32), decisions[nodes]])
        starts = np.flatnonzero(np.any(np.diff(columns, axis=1, prepend=-1) != 0, axis=0))
        self._column_features, self._column_decisions = np.ascontiguousarray(columns[:, starts])
        self._column_starts = np.append(starts, len(nodes)).astype(np.int32)
        self._thresholds = _rounded_down(thresholds[nodes])
        self._node_trees, self._node_leaves = tree_of_node[nodes], kept_by_node[nodes]
        self._step_count = len(steps)

    def scores(self, values: Rows) -> Floats:
        """float64[p, s], the trees' raw score of each pair at each step.

        Args:
            values: float32[p, feature_count].
        """
        out = np.empty((len(values), self._step_count))
        _fill_scores(
            values, self._column_features, self._column_decisions, self._column_starts, self._thresholds,
            self._node_trees, self._node_leaves, self._group_trees, self._group_starts, self._group_ends,
            self._group_leaves, self._first_leaves, self._leaf_values, out,
        )  # fmt: skip
        return out


def _trees_of(text: str) -> Iterator[dict[str, Floats]]:
    """The arrays of each tree; a tree of one leaf has empty ones for its nodes."""
    names = ("split_feature", "threshold", "decision_type", "left_child", "right_child", "leaf_value")
    for block in _TREE.findall(text + "\n"):
        fields = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        yield {name: np.array([float(value) for value in fields.get(name, "").split()]) for name in names}


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
        cleared = 2 ** len(order) - 2**first
        kept[node] = int(_ALL_LEAVES) - cleared
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
        column_features: int32[c], feature of each column.
        column_decisions: int32[c], LightGBM's decision_type, which defines how missing values are handled.
        column_starts: int32[c + 1], nodes of each column.
        thresholds: float32[n], the largest value that goes left.
        node_trees: int32[n], tree of each node.
        node_leaves: uint64[n], leaves that remain possible if a node sends a pair to the right.
        group_trees: int32[g], ascending, tree of each group of steps that the tree treats alike.
        group_starts: int32[g], first step of the group.
        group_ends: int32[g], end of its steps.
        group_leaves: uint64[g], leaves that the steps leave possible.
        first_leaves: int32[t], where the leaves of each tree begin.
        leaf_values: float64[l], tree by tree, from left to right.
        out: float64[p, s].
    """
    tree_count, step_count = len(first_leaves), out.shape[1]
    size = min(len(values), _BLOCK_PAIRS)
    column_values = np.empty(size, np.float32)
    left = np.empty((tree_count, size), np.uint64)
    leaf = np.empty(size)
    sums = np.empty((step_count, size))
    for block in range(0, len(values), _BLOCK_PAIRS):
        count = min(size, len(values) - block)
        left[:] = _ALL_LEAVES
        for column in range(len(column_features)):
            feature, decision = column_features[column], column_decisions[column]
            missing = decision >> _MISSING_SHIFT
            # A value that goes left whatever the threshold, or right.
            default = np.float32(-np.inf) if decision & _DEFAULT_LEFT else np.float32(np.nan)
            for pair in range(count):
                value = values[block + pair, feature]
                if np.isnan(value):
                    value = default if missing == _MISSING_NAN else np.float32(0.0)
                if abs(value) <= _ZERO:
                    value = default if missing == _MISSING_ZERO else np.float32(0.0)
                column_values[pair] = value
            for node in range(column_starts[column], column_starts[column + 1]):
                threshold, leaves, of_tree = thresholds[node], node_leaves[node], left[node_trees[node]]
                for pair in range(count):
                    of_tree[pair] &= _ALL_LEAVES if column_values[pair] <= threshold else leaves
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
