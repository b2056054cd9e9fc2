"""Boosted trees over (pair, step) rows, evaluated pair by pair; compiled.

The rows of a pair differ in one column alone, the step's end. So a tree is walked once for all steps of a pair: the
steps part ways only where the tree asks for that column. A library's `predict` walks it once per row, which takes some
ten times as long. The scores are those of LightGBM to the last bit: the same comparisons, the same order of additions.

Source: G. Ke et al., "LightGBM", NeurIPS 2017; the fields are those of its text form, version 4.
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

# Bits of a node's decision_type.
_CATEGORICAL, _DEFAULT_LEFT = 1, 2
_MISSING_SHIFT, _MISSING_ZERO, _MISSING_NAN = 2, 1, 2
# What LightGBM takes for zero, the end included.
_ZERO = 1.0000000180025095e-35  # 1e-35 as a float of 32 bits
_PAIRS_AT_A_TIME = 64
# Fewer pairs are not worth another thread.
_LEAST_PAIRS_PER_THREAD = 512

_TREE = re.compile(r"^Tree=\d+\n(.*?)^\n", re.MULTILINE | re.DOTALL)


class StepTrees:
    """Trees whose last column is the end of a step.

    Args:
        text: trees in LightGBM's text form; their last column is the step's end.
        thread_count: how many threads share the pairs of one question.

    Raises:
        ValueError: when the text has no trees, or trees of a kind that is not known here.
    """

    def __init__(self, text: str, thread_count: int = 1) -> None:
        trees = list(_trees_of(text))
        if not trees:
            raise ValueError("the text has no trees; give LightGBM's text form of a model")
        feature_count = re.search(r"^max_feature_idx=(\d+)$", text, re.MULTILINE)
        if feature_count is None:
            raise ValueError("the text does not say max_feature_idx; give LightGBM's text form of a model")
        self.feature_count = int(feature_count[1])
        """Columns beside the step's end."""
        nodes = np.cumsum([0, *(len(tree["split_feature"]) for tree in trees)])
        leaves = np.cumsum([0, *(len(tree["leaf_value"]) for tree in trees)])
        self._features = np.concatenate([tree["split_feature"] for tree in trees]).astype(np.int32)
        self._thresholds = np.concatenate([tree["threshold"] for tree in trees])
        self._decisions = np.concatenate([tree["decision_type"] for tree in trees]).astype(np.int32)
        if np.any(self._decisions & _CATEGORICAL) or re.search(r"^is_linear=1$", text, re.MULTILINE):
            raise ValueError("the trees have categorical splits or linear leaves; fit them without")
        # Children are nodes, or leaves as −1 − leaf; counted through all trees, they need no tree to be found.
        self._lefts, self._rights = (
            np.concatenate(
                [
                    np.where(tree[side] >= 0, tree[side] + node, tree[side] - leaf)
                    for tree, node, leaf in zip(trees, nodes, leaves, strict=False)
                ]
            ).astype(np.int32)
            for side in ("left_child", "right_child")
        )
        self._leaf_values = np.concatenate([tree["leaf_value"] for tree in trees])
        self._roots = np.array(
            [
                node if len(tree["split_feature"]) else -1 - leaf
                for tree, node, leaf in zip(trees, nodes, leaves, strict=False)
            ],
            dtype=np.int32,
        )
        self._thread_count = thread_count

    def scores(self, values: Rows, steps: Rows) -> Floats:
        """float64[p, s], the trees' raw score of each pair at each step.

        Args:
            values: float32[p, feature_count].
            steps: float32[s], ends of the steps, ascending.
        """
        out = np.zeros((len(values), len(steps)))
        step_ends = steps.astype(np.float64)
        share = max(-(-len(values) // self._thread_count), _LEAST_PAIRS_PER_THREAD)

        def fill(start: int) -> None:
            part = slice(start, start + share)
            _add_scores(
                values[part], step_ends, self._roots, self._features, self._thresholds, self._decisions, self._lefts,
                self._rights, self._leaf_values, out[part],
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


@compiled()
def _add_scores(
    values: Rows,
    steps: Floats,
    roots: Integers,
    features: Integers,
    thresholds: Floats,
    decisions: Integers,
    lefts: Integers,
    rights: Integers,
    leaf_values: Floats,
    out: Floats,
) -> None:
    """Adds the leaf of every tree that each pair reaches at each step.

    Args:
        values: float32[p, f].
        steps: float64[s], ascending.
        roots: int32[t], node where each tree begins, or −1 − leaf.
        features: int32[n], column that each node asks for; f is the step.
        thresholds: float64[n], the largest value that goes left.
        decisions: int32[n], LightGBM's decision_type.
        lefts: int32[n], next node, or −1 − leaf.
        rights: int32[n], likewise.
        leaf_values: float64[l].
        out: float64[p, s].
    """
    step_column = values.shape[1]
    waiting = np.empty((len(steps) + 1, 3), np.int32)  # node, first step, end of steps
    # Some pairs at a time, so that a tree and their rows stay in the nearest cache.
    for block in range(0, len(values), _PAIRS_AT_A_TIME):
        for tree in range(len(roots)):
            for pair in range(block, min(block + _PAIRS_AT_A_TIME, len(values))):
                waiting[0, 0], waiting[0, 1], waiting[0, 2] = roots[tree], 0, len(steps)
                count = 1
                while count > 0:
                    count -= 1
                    node, first, end = waiting[count, 0], waiting[count, 1], waiting[count, 2]
                    while node >= 0:
                        threshold = thresholds[node]
                        if features[node] == step_column:
                            middle = first
                            while middle < end and steps[middle] <= threshold:
                                middle += 1
                            if first < middle < end:
                                waiting[count, 0], waiting[count, 1], waiting[count, 2] = rights[node], middle, end
                                count += 1
                                end = middle
                            node = lefts[node] if middle > first else rights[node]
                            continue
                        value = float(values[pair, features[node]])
                        decision = decisions[node]
                        missing = decision >> _MISSING_SHIFT
                        if np.isnan(value):
                            if missing == _MISSING_NAN:
                                node = lefts[node] if decision & _DEFAULT_LEFT else rights[node]
                                continue
                            value = 0.0
                        if abs(value) <= _ZERO:
                            value = 0.0
                            if missing == _MISSING_ZERO:
                                node = lefts[node] if decision & _DEFAULT_LEFT else rights[node]
                                continue
                        node = lefts[node] if value <= threshold else rights[node]
                    for step in range(first, end):
                        out[pair, step] += leaf_values[-1 - node]
