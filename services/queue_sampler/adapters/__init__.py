"""Foreign brokers, by their Management API and over AMQP."""
