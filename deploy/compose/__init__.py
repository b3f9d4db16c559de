"""What docker-compose.yml needs beside the image: passwords, definitions, roles, a load."""
