"""How a trainer writes its numbers before it contributes them."""
