"""What a job.json says, alone and joined with its components; the states that a job and its attempts may be in.

Decides whether a document is a job, and what each address of each task gets. Pure: it looks at no table, asks no party,
and knows neither messages nor the database. Read `spec.py` first, then `binding.py`.
"""
