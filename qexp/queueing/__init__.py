"""Messages on the broker, which client and worker use alike: their form, size, publication and loss."""
