"""What training loops ask of renyi_core, in a module for each framework, which is imported by name alone."""
