"""Analysis of the measurements: tables, statistics, figures and observations."""
