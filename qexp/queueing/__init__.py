"""Messages on the broker, for client and worker: their form, size, publication and loss."""
