"""What happens on a node: a claim is run, its outcome recorded, and whatever dies is noticed."""
