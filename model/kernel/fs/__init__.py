"""Filesystems, as in fs/."""
