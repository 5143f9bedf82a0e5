"""What the product is made of by others."""
