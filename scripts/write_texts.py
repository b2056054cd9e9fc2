"""Writes `docs/texts.md`: every sentence that shoppers read, with an example of each. `--check` only compares.

python scripts/write_texts.py [--check]
"""

import sys
from pathlib import Path

from pantree_domain.goods import load_goods_policy
from pantree_domain.goods.seasons import load_seasons
from pantree_recommendation.core.reason import Reason, ReasonCode
from pantree_recommendation.core.texts import DEFAULT_LANGUAGE, load_texts

PAGE = Path(__file__).resolve().parent.parent / "docs" / "texts.md"

# Values of the examples; several for texts with plural forms.
_VALUES = (
    {
        "purchase_count": 1, "min_purchases": 3, "mean_interval_days": 7.2, "interval_days": 7, "days": 10,
        "delivered_per_used_ratio": 0.97, "overstock_ratio": 0.5, "expected_units_on_hand": 0.9,
        "days_since_last_purchase": 1, "subscription_unit_price": 1.89, "paid_unit_price": 1.49, "max_unit_price": 1.5,
        "budget_per_month": 40.0, "expected_annual_savings": 14.57, "estimated_annual_savings": 5.18,
        "silent_count": 3, "skipped_count": 3, "days_away": 35, "returned_count": 1, "early_days": 1,
        "top_up_count": 2,
    },
    {
        "purchase_count": 2, "min_purchases": 3, "mean_interval_days": 24.6, "interval_days": 56, "days": 84,
        "delivered_per_used_ratio": 1.04, "overstock_ratio": 0.41, "expected_units_on_hand": 2.3,
        "days_since_last_purchase": 92, "subscription_unit_price": 1.89, "paid_unit_price": 1.49, "max_unit_price": 1.5,
        "budget_per_month": 40.0, "expected_annual_savings": 14.57, "estimated_annual_savings": 5.18,
        "silent_count": 4, "skipped_count": 4, "days_away": 61, "returned_count": 2, "early_days": 17,
        "top_up_count": 3,
    },
)  # fmt: skip


def page() -> str:
    """The page in Markdown."""
    lines = [
        "# Texts for shoppers",
        "",
        "Every sentence that an answer can contain, by code, made by `python scripts/write_texts.py` from",
        "[texts.toml](../services/recommendation/pantree_recommendation/core/texts.toml). Numbers are in `values`, for",
        "programs.",
        "",
        "| code | sentence | examples |",
        "|---|---|---|",
    ]
    texts = load_texts().texts
    for code in ReasonCode:
        examples = dict.fromkeys(example(code, number) for number in range(len(_VALUES)))
        lines.append(f"| `{code}` | {texts[code]} | {' · '.join(examples)} |")
    lines += ["", "## Constraints that cannot be met", "", "| field | sentence | example |", "|---|---|---|"]
    for constraint, variants in load_texts().constraints.items():
        for variant, text in variants.items():
            value = (40.0 if "money" in text else 2.0) if "value" in variant else None
            items = ["Oat Milk", "Coffee"] if "items" in variant else []
            lines.append(f"| `{constraint}` | {text} | {load_texts().constraint_text(constraint, value, items)} |")
    lines += ["", "## Names of goods", "", "| type | name |", "|---|---|"]
    lines += [f"| `{goods.id}` | {goods.label[DEFAULT_LANGUAGE]} |" for goods in load_goods_policy().types]
    lines += [f"| `{season.id}` | {season.label[DEFAULT_LANGUAGE]} |" for season in load_seasons().seasons]
    return "\n".join(lines) + "\n"


def example(code: ReasonCode, number: int) -> str:
    """The sentence for a code with example values."""
    label = {DEFAULT_LANGUAGE: "sunscreen" if code in {"OUT_OF_SEASON", "SEASON_ENDS", "SEASONAL"} else "tobacco"}
    return Reason(code, _VALUES[number], other_item="Oat Milk", label=label).text


def main() -> int:
    """Writes the page, or compares it, and returns the exit code."""
    if "--check" in sys.argv[1:]:
        return int(page() != PAGE.read_text(encoding="utf-8"))
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
