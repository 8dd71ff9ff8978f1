"""Stand-ins for the training frameworks, so that renyi_training can be imported, and read, where none is installed."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
import types
import warnings

NAMES = {"torch", "stable_baselines3", "sb3_contrib", "gymnasium", "transformers", "accelerate", "trl"}


# of a stand-in
warnings.filterwarnings("ignore", message="renyi_training.trl is tested with TRL")


class Anything(type):
    """A class that has every attribute, takes every call, and gives a decorated function back."""

    def __getattr__(cls, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return Anything(name, (), {})

    def __call__(cls, *args, **options):
        decorates = len(args) == 1 and not options and isinstance(args[0], types.FunctionType | type)
        return args[0] if decorates else Anything(cls.__name__, (), {})

    def __or__(cls, other):
        return cls

    __ror__ = __or__


class Module(types.ModuleType):
    """A module of such classes."""

    __path__ = ()

    def __getattr__(self, name):
        if name == "__version__":
            return "9"
        if name.startswith("__"):
            raise AttributeError(name)
        found = Anything(name, (), {"__module__": self.__name__})
        setattr(self, name, found)
        return found


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds any module of these packages, installed or not: the pages are the same."""

    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in NAMES:
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec):
        return Module(spec.name)

    def exec_module(self, module):
        pass


def setup(app):
    sys.meta_path.insert(0, Finder())
    return {"parallel_read_safe": True, "parallel_write_safe": True}
