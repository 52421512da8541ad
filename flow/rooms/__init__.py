"""What Flow needs of the rooms below, and how it reaches them."""
