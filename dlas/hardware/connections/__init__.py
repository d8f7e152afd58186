"""Connections to devices, one file for each kind."""
