"""Peer runtimes, one file each: other ways to run the uncompressed networks, timed beside the compiled ones."""
