"""Bundles: the measurements of one platform, packed for studies on other machines."""
