"""Pure mathematics: ``xp`` is required, nothing is validated, no framework is named."""
