"""What a job.json says, alone and joined with its components. Pure."""
