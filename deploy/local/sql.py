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

# PostgreSQL knows reserved connections since 16; an older server that is given to us has none.
RESERVED = """
SELECT 'GRANT pg_use_reserved_connections TO {journal}'
    WHERE current_setting('server_version_num')::int >= 160000 \\gexec
"""


def roles_sql(credentials: Credentials) -> str:
    """Return a psql script: each role may log in, the owner owns the database, others connect.

    Connections are kept free for the journal, whose log everything waits for.
    What a role may do inside is granted by the migrations, which the owner runs.
    """
    roles = [role for role in credentials.database if role != SUPERUSER]
    script = [ROLE.format(role=role, password=credentials.database[role]) for role in roles]
    database = DATABASE_OF_OWNER.format(
        database=DATABASE, owner=OWNER, roles=", ".join(ROLES.values())
    )
    return "\n".join([*script, database, RESERVED.format(journal=ROLES["journal"])])
