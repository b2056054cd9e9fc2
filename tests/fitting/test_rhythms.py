import numpy as np
import pytest

from pantree_fitting.frequency.rhythms import fit_rhythm_prior
from pantree_frequency.core.histories import Histories
from pantree_frequency.core.rhythm import CVS, DEFAULT_PRIOR

END_DAY = 20_000


def histories(*, regular_ratio: float, missed: float = 0.0, households: int = 80) -> Histories:
    """Households that buy six items: some with a CV of .14, the others with one of .72, until the end day."""
    generator = np.random.default_rng(5)
    lines = []
    for household in range(households):
        for item in range(6):
            cv = 0.14 if generator.random() < regular_ratio else 0.72
            interval, day = generator.uniform(10, 30), float(END_DAY) - 330 - generator.uniform(0, 30)
            while day <= END_DAY:
                lines.append((household, item, int(day)))
                cycles = 2 if generator.random() < missed else 1
                day += max(interval * generator.gamma(1 / cv**2, cv**2, cycles).sum(), 1.0)
    ids, items, days = (np.array(column) for column in zip(*lines, strict=True))
    ones = np.ones(len(lines))
    return Histories.of_lines(
        households=ids, item_names=tuple("abcdef"), item_types=("",) * 6, item_categories=("",) * 6,
        item_indices=items, days=days, quantities=ones, prices=ones, savings=0 * ones,
    )  # fmt: skip


@pytest.mark.parametrize("regular_ratio", [0.3, 0.7])
def test_shares_of_regular_pairs_are_found(regular_ratio: float) -> None:
    prior = fit_rhythm_prior([histories(regular_ratio=regular_ratio)], END_DAY, seed=1)
    found = sum(share for share, cv in zip(prior.cv_shares, CVS.tolist(), strict=True) if cv <= 0.3)
    assert found == pytest.approx(regular_ratio, abs=0.12)
    assert sum(prior.cv_shares) == pytest.approx(1.0, abs=1e-4)
    assert prior.ended < 0.02  # no need ends here


def test_missed_purchases_are_found() -> None:
    few, many = (
        fit_rhythm_prior([histories(regular_ratio=0.7, missed=missed)], END_DAY, seed=1) for missed in (0.0, 0.2)
    )
    assert few.missed < many.missed


def test_without_enough_purchases_the_default_remains() -> None:
    one = histories(regular_ratio=1.0, households=1)
    assert fit_rhythm_prior([one], END_DAY - 340, seed=1) == DEFAULT_PRIOR
    close = fit_rhythm_prior([one], END_DAY, seed=1)
    assert close.cv_shares == pytest.approx(DEFAULT_PRIOR.cv_shares, abs=0.06)
