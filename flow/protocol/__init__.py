"""What parties say to each other about a job, and how one decides what it answers. Pure."""
