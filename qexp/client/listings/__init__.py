"""Lists for notebooks that show themselves as tables: studies, experiments, error groups, artifacts and ids."""
