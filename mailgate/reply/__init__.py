"""What the gateway says to people: facts and a template become the bytes of a letter."""
