"""Reads purchases from files as people have them: CSV and its variants, XLSX, Parquet, JSON lines.

What a file means is detected, described in `PurchaseFile.format`, and can be given in `ReadOptions`. What was left out,
changed or is in doubt is in `PurchaseFile.notes`, with its lines. What cannot be read without guessing is an
`InvalidInput` that names the line and the remedy.
"""

from pantree_reader.notes import Note, NoteKind
from pantree_reader.options import ReadOptions
from pantree_reader.reader import FileFormat, HouseholdPurchases, PurchaseFile, format_of, read_file, read_purchases
from pantree_reader.receipts import ReceiptLine

__all__ = [
    "FileFormat",
    "HouseholdPurchases",
    "Note",
    "NoteKind",
    "PurchaseFile",
    "ReadOptions",
    "ReceiptLine",
    "format_of",
    "read_file",
    "read_purchases",
]
