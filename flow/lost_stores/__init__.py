"""What a room of this party, or another party, lost of jobs that run: noticed, told, put right."""
