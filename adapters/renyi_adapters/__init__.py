"""Adapters of renyi_core: what each array library gains, in a module of the library's name."""
