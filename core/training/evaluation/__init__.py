"""A model against labels: masks, metrics, statistics, a report."""
