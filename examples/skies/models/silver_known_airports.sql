-- Every airport that a code may name.
MODEL (
  name silver.known_airports,
  kind VIEW,
  owner 'skies', tags (silver)
);
SELECT iata, name, city, state, country, latitude, longitude FROM silver.airports
UNION ALL
SELECT iata, name, city, state, country, latitude, longitude FROM silver.extra_airports
