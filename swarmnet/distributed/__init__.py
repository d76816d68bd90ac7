"""Work in several processes: sums over shards of rows, replicas of an objective, parallel fits."""
