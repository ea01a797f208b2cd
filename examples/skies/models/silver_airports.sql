-- Airports as received, with the text NA for what is not known.
MODEL (
  name silver.airports,
  kind FULL,
  on arrival,
  description 'Airports of the United States and some neighbours',
  grain (iata),
  columns (
    iata VARCHAR, name VARCHAR, city VARCHAR, state VARCHAR, country VARCHAR,
    latitude DOUBLE, longitude DOUBLE
  ),
  suite 'suites/airports.json',
  owner 'skies', tags (silver)
);
SELECT
  iata,
  name,
  nullif(city, 'NA') AS city,
  nullif(state, 'NA') AS state,
  country,
  latitude,
  longitude,
  _file, _row, _raw
FROM source('skies', 'airports.csv')
