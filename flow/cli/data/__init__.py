"""`flow data …` and `flow model …`, and results as files."""
