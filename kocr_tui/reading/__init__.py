"""Reads disk, driver and processes in threads, and posts what is new to the screens."""
