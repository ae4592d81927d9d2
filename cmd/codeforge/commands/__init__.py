"""The groups of sub-commands, one file each."""
