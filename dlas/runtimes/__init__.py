"""Peer runtimes, one file each: they run the uncompressed networks beside the compiled ones."""
