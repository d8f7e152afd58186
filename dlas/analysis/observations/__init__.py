"""The observations, a file each: claim, rule, verdict and figure."""
