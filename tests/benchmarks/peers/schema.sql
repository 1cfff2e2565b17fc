-- The peers' tables: what they would store without an audit log, roles, idempotency or limits.
CREATE TABLE clients (
    id serial PRIMARY KEY, client_id text UNIQUE NOT NULL, name text NOT NULL, enabled boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT now(), generation int NOT NULL DEFAULT 1
);
CREATE TABLE secrets (
    id bigserial PRIMARY KEY, owner_id int NOT NULL REFERENCES clients (id), digest bytea NOT NULL, hint text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(), expires_at timestamptz, is_current boolean NOT NULL
);
CREATE UNIQUE INDEX ON secrets (owner_id) WHERE is_current;
CREATE INDEX ON secrets (owner_id);
CREATE TABLE audit (
    id bigserial PRIMARY KEY, at timestamptz NOT NULL DEFAULT now(), owner_id int NOT NULL, what text NOT NULL
);
INSERT INTO clients (client_id, name)
    SELECT 'client' || lpad(i::text, 10, '0'), 'client ' || i FROM generate_series(0, 9999) i;
INSERT INTO secrets (owner_id, digest, hint, expires_at, is_current)
    SELECT c.id, sha256((c.client_id || j)::bytea), 'abcd', CASE WHEN j = 0 THEN now() + interval '3 days' END, j = 1
    FROM clients c, generate_series(0, 1) j;
-- PostGraphile makes fields of these.
CREATE FUNCTION clients_current_secret(c clients) RETURNS secrets LANGUAGE sql STABLE AS $$
    SELECT s.* FROM secrets s WHERE s.owner_id = c.id AND s.is_current
$$;
CREATE FUNCTION clients_old_secret(c clients) RETURNS secrets LANGUAGE sql STABLE AS $$
    SELECT s.* FROM secrets s WHERE s.owner_id = c.id AND NOT s.is_current
$$;
-- A whole reset in one round trip, the favourable way.
CREATE FUNCTION reset_secret(client_id text, new_secret text, hours_to_live int) RETURNS timestamptz
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    owner int;
    until timestamptz := now() + make_interval(hours => hours_to_live);
BEGIN
    SELECT c.id INTO owner FROM clients c WHERE c.client_id = reset_secret.client_id FOR UPDATE;
    IF owner IS NULL THEN RETURN NULL; END IF;
    DELETE FROM secrets s WHERE s.owner_id = owner AND NOT s.is_current;
    UPDATE secrets s SET is_current = false, expires_at = until WHERE s.owner_id = owner AND s.is_current;
    INSERT INTO secrets (owner_id, digest, hint, is_current)
        VALUES (owner, sha256(new_secret::bytea), right(new_secret, 4), true);
    UPDATE clients c SET generation = generation + 1 WHERE c.id = owner;
    INSERT INTO audit (owner_id, what) VALUES (owner, 'reset');
    RETURN until;
END
$$;
