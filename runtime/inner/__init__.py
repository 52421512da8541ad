"""The inner doors of a party: the key that its own services show each other, and the channel that shows it."""
