"""What DNS answers mean for a pool: names, records, families, SRV weights, and when to ask again. No socket, no clock."""
