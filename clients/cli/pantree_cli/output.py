"""Where the command line prints."""

from rich.console import Console

# Names and messages of others have no meaning for the terminal: [bold] and :coffee: are shown as they are.
console = Console(markup=False, emoji=False)
errors = Console(stderr=True, markup=False, emoji=False)


def print_error(text: str) -> None:
    """Prints a line to standard error, whatever its width."""
    errors.print(text, markup=False, highlight=False, soft_wrap=True)
