"""What qexp costs and how fast it recovers, measured on the machine at hand."""
