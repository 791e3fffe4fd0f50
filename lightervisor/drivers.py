"""Drivers are found by listing their folder: adding one touches no other file."""

import importlib
import pkgutil


def load(package: str) -> list[str]:
    """Import every module of a package, whose classes register themselves as they are defined; returns their names."""
    names = [module.name for module in pkgutil.iter_modules(importlib.import_module(package).__path__)]
    for name in names:
        importlib.import_module(f"{package}.{name}")
    return names
