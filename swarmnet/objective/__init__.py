"""The mixed loss, and the sums over rows that trainers need."""
