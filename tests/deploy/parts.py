"""Settings and health names of a part, from its code."""

import importlib
import inspect

from pantree_cli.mesh import ServiceKind
from pantree_runtime.settings import PartSettings


def settings_class(part: ServiceKind) -> type[PartSettings]:
    """Settings class of a part."""
    module = importlib.import_module(f"{part.package}.settings")
    (found,) = (
        value
        for _, value in inspect.getmembers(module, inspect.isclass)
        if issubclass(value, PartSettings) and value.__module__ == module.__name__
    )
    return found


async def health_names(part: ServiceKind) -> set[str]:
    """Names under which a part reports its health."""
    program = importlib.import_module(f"{part.package}.__main__").PROGRAM
    built = await program.build(settings_class(part)(_env_file=None))  # type: ignore[call-arg] # pydantic-settings' own
    await built.close()
    return set(built.services)
