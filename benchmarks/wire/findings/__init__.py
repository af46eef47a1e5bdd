"""What was measured, compared and told: ratios within a round, targets, tables, pictures."""
