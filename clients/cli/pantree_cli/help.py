"""Examples at the end of every `--help`."""


def examples(*lines: str) -> str:
    """Epilog with one example per line, which keeps its line breaks at any terminal width.

    Args:
        lines: commands; one that exceeds eighty columns contains its own line breaks.
    """
    # click does not wrap a paragraph that starts with \b.
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)
