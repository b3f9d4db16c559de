"""Queue sampler: how much waits for each model, asked of the brokers that hold the queues."""
