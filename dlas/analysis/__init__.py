"""What the measurements say: tables, statistics, and one module for each observation."""
