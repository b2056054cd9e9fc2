"""Normalizes item names, so that those from POS systems, shops and people can be compared."""

import re
import unicodedata

from pantree_domain.catalog.data import read_words

_UNIT = (
    r"(?:fl\.? ?oz|fz|oz|ounces?|lbs?|pounds?|kg|kilos?|gm?|gr|grams?|mg|ml|cl|l|lt|ltr|lit(?:er|re)s?|ga|gal|gallons?|"
    r"qt|quarts?|pt|pints?|ct|count|pk|pks|packs?|pcs?|pieces?|ea|each|dz|doz|dozen|ld|stems?|in|inch|ft|feet|yd|"
    r"sq ?ft|rolls?|sheets?|bags?|box|boxes|cans?|bottles?|jars?|loads?|x)"
)
# After an amount and its unit, these words mean the packaging: "20 OZ PET" is a plastic bottle, not a pet.
_CONTAINER = r"(?:bags?|btls?|bottles?|cans?|ctn|cartons?|jars?|nr|pet|tubes?|tubs?)"
_AMOUNT = re.compile(rf"(?<!\w)\d+(?: ?[.,/=x-] ?\d+)*(?: *%| *-?{_UNIT}(?!\w)\.?(?: +{_CONTAINER}(?!\w))?)?(?!\w)")
_LONE_UNIT = re.compile(r"(?<!\w)(?:half gal(?:lon)?|oz|lbs?|ct|ctn|pk|pck|pt|qt|ea|each|per|gal|dz|doz)(?!\w)")
_APOSTROPHE = re.compile(r"['’`]")
_NOT_A_WORD = re.compile(r"[\W_]+")

# Exceptions to the rules of `singular`.
_SINGULARS = {
    "brownies": "brownie", "cookies": "cookie", "greens": "greens", "halves": "half", "leaves": "leaf",
    "loaves": "loaf", "molasses": "molasses", "pies": "pie", "potpies": "potpie", "quiches": "quiche",
    "smoothies": "smoothie", "veggies": "veggie",
}  # fmt: skip


def normalize_name(text: str) -> str:
    """The name in lower case and singular, without pack sizes and punctuation, with abbreviations expanded.

    `OG BNLS CHKN BRST 2LB` becomes `organic boneless chicken breast`. Pack sizes stay if nothing else remains, as in
    `7`.
    """
    plain = _APOSTROPHE.sub("", _without_accents(text).casefold())
    plain = plain.replace("w/o", " without ").replace("w/", " with ")
    without_amounts = _LONE_UNIT.sub(" ", _AMOUNT.sub(" ", plain.replace("&", " and ")))
    words = _NOT_A_WORD.sub(" ", without_amounts).split() or _NOT_A_WORD.sub(" ", plain).split()
    expanded = " ".join(read_words().abbreviations.get(word, word) for word in words).split()
    return " ".join(map(singular, expanded))


def singular(word: str) -> str:
    """Singular of a lower-case English noun, by rule."""
    if word in _SINGULARS:
        return _SINGULARS[word]
    if len(word) <= 3 or not word.endswith("s") or word.endswith(("ss", "us", "is")):
        return word
    if word.endswith("ies"):
        return word[:-3] + "y"
    if word.endswith(("shes", "ches", "xes", "sses", "oes", "zzes")):
        return word[:-2]
    return word[:-1]


def _without_accents(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", text)
    return "".join(character for character in decomposed if not unicodedata.combining(character))
