"""`flow data …` and `flow model …`: what this party has, and results as files in a folder of one's own."""
