"""What a function is given to leave things with: `qexp.Context`, and where what it leaves goes."""
