-- Two roles of PostgreSQL: one that owns the tables and runs migrations, and one for the service, with the least rights.
--
-- Run this file as a superuser, or as the owner of the database with CREATEROLE, in the database of the service: before the
-- first migration, and again after each one, because the tables of a migration have no rights for the service until then.
-- Running it twice changes nothing.
--
--     createdb cart_promotions
--     psql --set=ON_ERROR_STOP=1 --dbname=cart_promotions --file=docs/roles.sql
--     psql --dbname=cart_promotions --command='\password cart_promotions_owner'
--     psql --dbname=cart_promotions --command='\password cart_promotions'
--     cart-promotions migrate                # with the URL of cart_promotions_owner
--     psql --set=ON_ERROR_STOP=1 --dbname=cart_promotions --file=docs/roles.sql
--     cart-promotions serve --no-migrate     # with the URL of cart_promotions
--
-- The commands of operators that change records (promotions, clients, import, ...) need no more than the service.

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'cart_promotions_owner') THEN
        CREATE ROLE cart_promotions_owner LOGIN;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'cart_promotions') THEN
        CREATE ROLE cart_promotions LOGIN;
    END IF;
    -- No other role may connect, and none makes temporary tables.
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC, cart_promotions', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO cart_promotions_owner, cart_promotions', current_database());
END
$$;

-- The owner makes tables; the service makes nothing.
REVOKE ALL ON SCHEMA public FROM PUBLIC, cart_promotions;
GRANT USAGE, CREATE ON SCHEMA public TO cart_promotions_owner;
GRANT USAGE ON SCHEMA public TO cart_promotions;

-- Rows of tables only: no sequences, which the tables do not use, and neither TRUNCATE, REFERENCES nor TRIGGER.
REVOKE ALL ON ALL TABLES IN SCHEMA public FROM PUBLIC, cart_promotions;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM PUBLIC, cart_promotions;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO cart_promotions;

-- The service reads which migrations were applied, adds to the history of the catalog, which nobody rewrites, and makes the
-- key for access tokens once. No other role may read that key: it signs tokens for every client.
DO $$
BEGIN
    IF to_regclass('public.seaql_migrations') IS NOT NULL THEN
        REVOKE INSERT, UPDATE, DELETE ON seaql_migrations FROM cart_promotions;
    END IF;
    IF to_regclass('public.catalog_changes') IS NOT NULL THEN
        REVOKE UPDATE, DELETE ON catalog_changes FROM cart_promotions;
    END IF;
    IF to_regclass('public.token_keys') IS NOT NULL THEN
        REVOKE UPDATE, DELETE ON token_keys FROM cart_promotions;
    END IF;
END
$$;
