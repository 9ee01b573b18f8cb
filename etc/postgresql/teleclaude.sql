-- The two roles of teleclaude on a local PostgreSQL server, its database, and what the daemon may do there. Run by a
-- superuser, before and after `teleclaude db migrate`, as often as you like:
--   sudo -u postgres psql -X -f teleclaude.sql
-- teleclaude_owner owns the tables and nobody logs in as it; teleclaude is the daemon, which peer authentication lets
-- in because its OS user has the same name. No password anywhere.
\set ON_ERROR_STOP on
SET client_min_messages = warning;

SELECT 'CREATE ROLE teleclaude_owner NOLOGIN'
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'teleclaude_owner') \gexec
SELECT 'CREATE ROLE teleclaude LOGIN'
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'teleclaude') \gexec
SELECT 'CREATE DATABASE teleclaude OWNER teleclaude_owner ENCODING ''UTF8'' TEMPLATE template0'
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'teleclaude') \gexec

\connect teleclaude
SET client_min_messages = warning;

BEGIN;
-- What an earlier set-up with one role for everything left to the daemon.
REASSIGN OWNED BY teleclaude TO teleclaude_owner;
ALTER DATABASE teleclaude OWNER TO teleclaude_owner;
REVOKE ALL ON DATABASE teleclaude FROM PUBLIC;
GRANT CONNECT ON DATABASE teleclaude TO teleclaude;
REVOKE ALL ON SCHEMA public FROM PUBLIC, teleclaude;
GRANT USAGE, CREATE ON SCHEMA public TO teleclaude_owner;
GRANT USAGE ON SCHEMA public TO teleclaude;

DO $$
DECLARE
  name text;
BEGIN
  FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP
    EXECUTE format('REVOKE ALL ON public.%I FROM PUBLIC, teleclaude', name);
    -- The audit log only grows, and the list of migrations is not the daemon's to change.
    EXECUTE format('GRANT %s ON public.%I TO teleclaude', CASE
      WHEN name = 'seaql_migrations' THEN 'SELECT'
      WHEN name LIKE 'audit\_%' THEN 'SELECT, INSERT'
      ELSE 'SELECT, INSERT, UPDATE, DELETE'
    END, name);
  END LOOP;
END $$;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO teleclaude;
COMMIT;
