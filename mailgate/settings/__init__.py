"""What an operator writes: TOML with its lines, keys, units, patterns, commands."""
