-- The MovR schema (users, vehicles, rides; composite keys that begin with the city) and a few rows
-- for each of its nine cities, the same in every region. Deterministic: keys are made from names.
\set ON_ERROR_STOP 1
\set QUIET 1
BEGIN;

CREATE DOMAIN movr_city AS text
    CONSTRAINT check_city CHECK (VALUE IN (
        'amsterdam', 'boston', 'los angeles', 'new york', 'paris', 'rome', 'san francisco',
        'seattle', 'washington dc'));

CREATE TABLE users (
    id            uuid NOT NULL,
    city          movr_city NOT NULL,
    first_name    text,
    last_name     text,
    email         text,
    username      text UNIQUE,
    password_hash text,
    is_owner      boolean,
    PRIMARY KEY (city, id)
);

CREATE TABLE vehicles (
    id            uuid NOT NULL,
    city          movr_city NOT NULL,
    type          text,
    owner_id      uuid,
    date_added    date,
    status        text,
    last_location text,
    color         text,
    brand         text,
    PRIMARY KEY (city, id),
    CONSTRAINT fk_city_ref_users FOREIGN KEY (city, owner_id) REFERENCES users (city, id)
);
CREATE INDEX ON vehicles (city, owner_id, status);

CREATE TABLE rides (
    id             uuid NOT NULL,
    city           movr_city NOT NULL,
    vehicle_id     uuid,
    rider_id       uuid,
    rider_city     movr_city NOT NULL,
    start_location text,
    end_location   text,
    start_time     timestamptz,
    end_time       timestamptz,
    length         interval,
    PRIMARY KEY (city, id),
    CONSTRAINT fk_city_ref_users FOREIGN KEY (rider_city, rider_id) REFERENCES users (city, id),
    CONSTRAINT fk_vehicle_city_ref_vehicles FOREIGN KEY (city, vehicle_id) REFERENCES vehicles (city, id)
);
CREATE INDEX ON rides (rider_city, rider_id);
CREATE INDEX ON rides (city, vehicle_id);

CREATE TEMPORARY VIEW cities AS
SELECT unnest(ARRAY['amsterdam', 'boston', 'los angeles', 'new york', 'paris', 'rome',
                    'san francisco', 'seattle', 'washington dc']) AS city;

INSERT INTO users
SELECT md5('user' || city || n)::uuid, city,
       (ARRAY['Ada', 'Bela', 'Carla', 'Dario', 'Emma', 'Femi', 'Gus', 'Hana'])[1 + n % 8],
       (ARRAY['Lind', 'Marsh', 'Novak', 'Okafor', 'Petit', 'Quinn'])[1 + n % 6],
       replace(city, ' ', '') || n || '@movr.example', replace(city, ' ', '') || n,
       md5('password' || city || n), n % 4 = 0
FROM cities, generate_series(1, 40) n;

INSERT INTO vehicles
SELECT md5('vehicle' || city || n)::uuid, city,
       (ARRAY['scooter', 'bike', 'skateboard'])[1 + n % 3], md5('user' || city || 4 * (1 + n % 10))::uuid,
       date '2020-01-01' + n, (ARRAY['available', 'in_use', 'available', 'lost'])[1 + n % 4],
       n || ' Main Street', (ARRAY['red', 'green', 'blue', 'black'])[1 + n % 4],
       (ARRAY['Kona', 'Merida', 'Santa Cruz', 'Fuji'])[1 + n % 4]
FROM cities, generate_series(1, 25) n;

INSERT INTO rides
SELECT md5('ride' || city || n)::uuid, city, md5('vehicle' || city || 1 + n % 25)::uuid,
       md5('user' || city || 1 + n % 40)::uuid, city, n || ' First Avenue', n + 7 || ' Main Street',
       timestamptz '2020-06-01 08:00+00' + n * interval '17 minutes',
       timestamptz '2020-06-01 08:00+00' + n * interval '17 minutes' + (5 + n % 40) * interval '1 minute',
       (5 + n % 40) * interval '1 minute'
FROM cities, generate_series(1, 120) n;

-- The marker by which a session sees where it is.
CREATE TABLE here (region text PRIMARY KEY);
INSERT INTO here VALUES (:'region');

COMMIT;
VACUUM ANALYZE;
