"""The command line: what can be given, and the config it makes."""
