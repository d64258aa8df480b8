"""What reads, a file each."""
