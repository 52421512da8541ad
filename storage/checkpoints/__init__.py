"""The state of running tasks at rest, sealed: checkpoints after a step, and journals of what is drawn once."""
