"""Which experiments a person means: selectors and `--where` become SQL conditions."""
