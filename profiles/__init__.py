"""The built-in hardware profiles, one TOML file a card."""
