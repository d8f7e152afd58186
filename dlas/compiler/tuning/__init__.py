"""Tuning: the decisions of each layer's code, found by measuring candidates on the platform."""
