"""Output for people and programs where no console is open."""
