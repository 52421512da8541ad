"""This party in everybody's jobs: it answers, holds room, starts, stops, publishes, reports and cleans up."""
