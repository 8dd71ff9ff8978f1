"""Adapters of renyi_core: what each array library gains, in a folder of the library's name. Not for users."""
