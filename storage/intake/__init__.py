"""Files on their way into a table: what one is, how it is read, and what is wrong with it, by line and column."""
