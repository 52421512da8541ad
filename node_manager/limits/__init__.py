"""What an executor may use, how the host holds it to that, and what was used when it did not keep to it."""
