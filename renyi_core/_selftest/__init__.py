"""The parts of :mod:`renyi_core.selftest`: exact values, inputs, the library under test, what is measured."""
