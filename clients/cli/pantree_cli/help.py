"""What every `--help` ends with."""


def examples(*lines: str) -> str:
    """Examples as the last paragraph of a command's help, each on a line of its own however wide the terminal is.

    Args:
        lines: commands as they are typed; one that is too long for eighty columns has its own line breaks.
    """
    # \b is how click is told to leave the lines of a paragraph as they are.
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)
