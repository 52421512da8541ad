"""Models at rest: the files of one, all that a party has, and one as a file for other programs."""
