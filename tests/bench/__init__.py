"""Benchmarks of the budgets, each beside its peer in one run; ``python -m tests.bench`` prints the table."""
