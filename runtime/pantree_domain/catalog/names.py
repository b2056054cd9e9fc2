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
_SIZE = re.compile(rf"(?<!\w)\d+(?:[.,]\d+)? *{_UNIT}(?!\w)")
# With no longer word, an amount is likely a part of the name, as in "7 Up".
_MAX_REST_LETTERS = 2

# Exceptions to the rules of `singular`.
_SINGULARS = {
    "ananas": "ananas", "brownies": "brownie", "cookies": "cookie", "greens": "greens", "halves": "half",
    "knives": "knife", "leaves": "leaf", "lens": "lens", "lenses": "lens", "loaves": "loaf", "molasses": "molasses",
    "pies": "pie", "potpies": "potpie", "quiches": "quiche", "smoothies": "smoothie", "thermos": "thermos",
    "veggies": "veggie",
}  # fmt: skip


def normalize_name(text: str) -> str:
    """The name in lower case and singular, without pack sizes and punctuation, with abbreviations expanded.

    `OG BNLS CHKN BRST 2LB` becomes `organic boneless chicken breast`. Numbers stay if hardly anything else remains, as
    in `7` and `7 Up`. Accents are removed from Latin letters only: in other scripts they make other words.
    """
    plain = _APOSTROPHE.sub("", _without_accents(text).casefold())
    plain = plain.replace("w/o", " without ").replace("w/", " with ")
    without_amounts = _LONE_UNIT.sub(" ", _AMOUNT.sub(" ", plain.replace("&", " and ")))
    words = _words(without_amounts)
    if not any(len(word) > _MAX_REST_LETTERS or not word.isascii() for word in words):
        words = _words(_SIZE.sub(" ", plain)) or _words(plain)
    expanded = " ".join(read_words().abbreviations.get(word, word) for word in words).split()
    return " ".join(map(singular, expanded))


def _words(text: str) -> list[str]:
    """The words of a text; combining marks of other scripts belong to theirs."""
    if text.isascii():
        return _NOT_A_WORD.sub(" ", text).split()
    spaced = "".join(character if _is_in_word(character) else " " for character in text)
    return spaced.split()


def _is_in_word(character: str) -> bool:
    return character.isalnum() or (not character.isascii() and unicodedata.category(character).startswith("M"))


def singular(word: str) -> str:
    """Singular of a lower-case English noun, by rule."""
    if word in _SINGULARS or not word.isascii():
        return _SINGULARS.get(word, word)
    if len(word) <= 3 or not word.endswith("s") or word.endswith(("ss", "us", "is")):
        return word
    if word.endswith("ies"):
        return word[:-3] + "y"
    if word.endswith(("shes", "ches", "xes", "sses", "oes", "zzes")):
        return word[:-2]
    return word[:-1]


def _without_accents(text: str) -> str:
    if text.isascii():
        return text
    kept: list[str] = []
    is_latin = False
    for character in unicodedata.normalize("NFKD", text):
        if not unicodedata.combining(character):
            is_latin = unicodedata.name(character, "").startswith("LATIN")
        elif is_latin:
            continue
        kept.append(character)
    return unicodedata.normalize("NFC", "".join(kept))
