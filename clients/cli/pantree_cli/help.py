"""Examples at the end of every `--help`."""


def examples(*lines: str) -> str:
    """Epilog with one example per line. Its line breaks are kept at any terminal width."""
    # click does not wrap a paragraph that starts with \b.
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)
