"""Work for several processes: sums over shards of rows, replicas of an objective, fits side by side."""
