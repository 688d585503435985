"""From result records to leaderboards: rows, intervals, tables and the report."""
