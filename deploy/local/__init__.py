"""The engines of one machine, PostgreSQL and RabbitMQ, without Docker or system services."""
