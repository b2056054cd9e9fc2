"""`pantree` and `python -m pantree_cli`."""

import sys


def main() -> None:
    """Runs the command line, or says how to install its packages."""
    try:
        from pantree_cli.app import run
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in {"dotenv", "pantree_client", "rich", "typer"}:
            raise
        print("error: the command line needs more packages: pip install 'pantree[demo]'", file=sys.stderr)
        raise SystemExit(2) from None
    run()


if __name__ == "__main__":
    main()
