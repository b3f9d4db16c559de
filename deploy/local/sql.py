"""The statements that make the database and its roles; what exists is brought up to date."""

from deploy.local.access import DATABASE, OWNER, ROLES, SUPERUSER, Credentials

ROLE = """
SELECT 'CREATE ROLE {role}' WHERE NOT EXISTS
    (SELECT FROM pg_roles WHERE rolname = '{role}') \\gexec
ALTER ROLE {role} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD '{password}';
"""

DATABASE_OF_OWNER = """
SELECT 'CREATE DATABASE {database} OWNER {owner}' WHERE NOT EXISTS
    (SELECT FROM pg_database WHERE datname = '{database}') \\gexec
REVOKE ALL ON DATABASE {database} FROM PUBLIC;
REVOKE ALL ON DATABASE postgres FROM PUBLIC;
GRANT CONNECT ON DATABASE {database} TO {roles};
"""


def roles_sql(credentials: Credentials) -> str:
    """Return a psql script: each role may log in, the owner owns the database, others connect.

    What a role may do inside is granted by the migrations, which the owner runs.
    """
    roles = [role for role in credentials.database if role != SUPERUSER]
    script = [ROLE.format(role=role, password=credentials.database[role]) for role in roles]
    database = DATABASE_OF_OWNER.format(
        database=DATABASE, owner=OWNER, roles=", ".join(ROLES.values())
    )
    return "\n".join([*script, database])
